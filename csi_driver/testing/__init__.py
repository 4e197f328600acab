"""Simulated hosts, shipped with the package and checked against the real ones."""

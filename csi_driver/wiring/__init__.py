"""Puts the parts together, one function per process."""

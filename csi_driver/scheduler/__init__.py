"""Chooses node and pool: a request and a picture of all pools in, a decision with reasons out. Pure."""

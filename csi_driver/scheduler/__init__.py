"""Chooses where a volume is made: pure functions, a request and a picture of the pools in, a decision out."""

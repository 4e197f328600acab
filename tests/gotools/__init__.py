"""Builds the Go programs that the tests hold this driver against: see `build.build`."""

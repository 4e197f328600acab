"""What the Makefile runs: scripts for this repository alone, never shipped."""

"""The wire format of CSI as its own Go module has it, for comparing ours with it."""

"""The consumer's use cases, a file per verb: what is done where the pods are. No mkfs in here, ever."""

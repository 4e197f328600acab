"""Async tools that know nothing of storage: effects, jobs, deadlines, processes, state files."""

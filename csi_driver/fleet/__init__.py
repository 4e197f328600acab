"""The controller's picture of its agents."""

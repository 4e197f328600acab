"""The controller's use cases, a file per verb."""

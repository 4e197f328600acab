"""A real Kubernetes cluster on the lab's hosts (docs/development.md)."""

"""What the controller asks of Kubernetes. Only ``wiring`` imports it, and never for a node process (memory)."""

"""What the controller does with the Kubernetes API, against a real API server and etcd, without any node."""

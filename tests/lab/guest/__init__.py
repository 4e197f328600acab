"""What runs inside a test host: its init and its agent (standard library of the guest only)."""

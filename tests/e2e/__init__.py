"""What a user does with a cluster that has Clinker: plain objects and kubectl."""

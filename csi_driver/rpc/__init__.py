"""gRPC in and out. Protobuf stays here."""

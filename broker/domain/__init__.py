"""Values and rules of the broker; no I/O."""

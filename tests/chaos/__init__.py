"""Fleets of their own, whose processes and servers are killed while they work."""

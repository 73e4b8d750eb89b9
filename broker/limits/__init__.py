"""Paces every account at exactly the rate it allows."""

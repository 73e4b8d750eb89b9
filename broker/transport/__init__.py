"""Carries turns from the feeder to the workers."""

"""Behaviour that every adapter of a port must show, as suites that tests run per adapter."""

"""Servers that tests need: found, else started, never skipped."""

"""Submission to manifest: parse, validate, route, store."""

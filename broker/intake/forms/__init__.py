"""Rows as each vendor's batch API has them: what is asked for, and what is wrong with it."""

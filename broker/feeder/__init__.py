"""Manifest to queue: fair share over batches, a shallow window, reconciliation."""

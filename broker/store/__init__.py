"""The manifest and the ledger, in SQLite or PostgreSQL."""

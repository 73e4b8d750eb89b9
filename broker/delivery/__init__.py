"""Results out: cursors and files."""

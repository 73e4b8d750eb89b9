"""One codec per dialect, around one canonical form; pure functions."""

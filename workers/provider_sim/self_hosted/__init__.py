"""How servers differ that people run themselves: what they say of themselves, and what they do without a word."""

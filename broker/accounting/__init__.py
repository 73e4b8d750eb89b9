"""What tokens cost, and the reports on it."""

"""What is known about providers and prices, as data."""

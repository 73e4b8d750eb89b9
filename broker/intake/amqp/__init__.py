"""Submissions that other programs publish to RabbitMQ."""

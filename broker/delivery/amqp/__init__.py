"""Results sent to producers over RabbitMQ."""

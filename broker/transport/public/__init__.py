"""What other programs talk to over RabbitMQ: addresses, connections of FastStream, and the document of both."""

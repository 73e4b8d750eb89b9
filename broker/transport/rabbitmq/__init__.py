"""Turns on RabbitMQ: quorum queues, confirms, and connections that are made again by ourselves."""

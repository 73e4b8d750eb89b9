"""Servers for fleets whose servers are killed: one set for each test process, which nobody else touches."""

from collections.abc import Iterator

import pytest

from tests.chaos.servers import Servers, private_servers


@pytest.fixture(scope="session")
def chaos_servers() -> Iterator[Servers]:
    """Give RabbitMQ, PostgreSQL and Redis, all running."""
    with private_servers() as servers:
        yield servers

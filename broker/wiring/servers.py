"""The servers of a fleet, as a process of it reaches them."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from broker.domain.clock import Clock
from broker.errors import ConfigError, StoreUnavailable
from broker.feeder.segments import SegmentReader
from broker.secrets import read_url
from broker.settings import BrokerSettings
from broker.store import migrate
from broker.store.engine import Database, open_database
from broker.store.lock import fleet_member
from broker.transport.rabbitmq.transport import RabbitTransport

log = logging.getLogger("penstock.servers")

_RETRY_S = 1.0


def url_of(settings: BrokerSettings, name: str) -> str:
    """Read the URL of a server, which may hold a password; raises `ConfigError` where none is configured."""
    reference: str | None = getattr(settings, name)
    if reference is None:
        raise ConfigError(
            f"{settings.file}: [broker] {name}: a fleet needs it; write its URL, or where that stands, as env:NAME"
        )
    return read_url(reference)


@asynccontextmanager
async def opened(settings: BrokerSettings, clock: Clock, *, connections: int) -> AsyncIterator[Database]:
    """The database, once it is there.

    Raises `SchemaTooOld`, `SchemaTooNew`, and `DatabaseBusy` while a `penstock run` has it.
    """
    database = open_database(url_of(settings, "database"), connections=connections)
    try:
        while True:
            try:
                await database.read(migrate.check)
                break
            except StoreUnavailable as error:
                log.warning("waiting for the database: %s", error)
                await clock.sleep(_RETRY_S)
        async with fleet_member(database):
            yield database
    finally:
        await database.close()


def transport(
    settings: BrokerSettings, database: Database, clock: Clock, on_lost: Callable[[], None] = lambda: None
) -> RabbitTransport:
    """The queues of this installation."""
    return RabbitTransport(
        url_of(settings, "rabbitmq"),
        find_jobs=SegmentReader(database).jobs,
        prefix=settings.prefix,
        on_lost=on_lost,
        clock=clock,
    )

"""The servers of a fleet, as a process of it reaches them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from broker.domain.clock import Clock
from broker.errors import ConfigError, StoreUnavailable
from broker.feeder.segments import SegmentReader
from broker.secrets import read_url
from broker.settings import BrokerSettings
from broker.store import migrate
from broker.store.engine import Database, open_database
from broker.store.lock import fleet_member
from broker.transport.rabbitmq.transport import RabbitTransport
from workers.patience import happens

log = logging.getLogger("penstock.servers")

T = TypeVar("T")

_RETRY_S = 1.0
_SCHEMES = {
    "database": ("postgresql", "sqlite"),
    "rabbitmq": ("amqp", "amqps"),
    "redis": ("redis", "rediss", "unix"),
}


class StoppedEarly(Exception):
    """The process was told to stop while it still waited for a server."""


def url_of(settings: BrokerSettings, name: str) -> str:
    """Read the URL of a server, which may hold a password; raises `ConfigError` where none is configured."""
    reference: str | None = getattr(settings, name)
    if reference is None:
        raise ConfigError(
            f"{settings.file}: [broker] {name}: a fleet needs it; write its URL, or where that stands, as env:NAME"
        )
    url = read_url(reference)
    if not _is_url(url, _SCHEMES[name]):
        begin = " or ".join(f"{scheme}://" for scheme in _SCHEMES[name])
        # What stands there is not shown: it may hold a password
        raise ConfigError(
            f"{settings.file}: [broker] {name}: what {reference} holds is no URL that begins with {begin}"
        )
    return url


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        # A database may have several hosts, each with its port: its own library reads those
        _ = parts.port if "postgresql" not in schemes else None
    except ValueError:
        return False
    return parts.scheme.partition("+")[0] in schemes


@asynccontextmanager
async def opened(
    settings: BrokerSettings, clock: Clock, *, connections: int, over: asyncio.Event
) -> AsyncIterator[Database]:
    """The database, once it is there.

    Raises `SchemaTooOld`, `SchemaTooNew`, `DatabaseBusy` while a `penstock run` has it, and `StoppedEarly`.
    """
    database = open_database(url_of(settings, "database"), connections=connections)
    try:
        async with AsyncExitStack() as membership:
            await answered(lambda: membership.enter_async_context(fleet_member(database)), clock, over)
            await answered(lambda: database.read(migrate.check), clock, over)
            yield database
    finally:
        await database.close()


async def answered(ask: Callable[[], Awaitable[T]], clock: Clock, over: asyncio.Event) -> T:
    """Ask the database until it answers; raises `StoppedEarly` when it is `over` before."""
    while True:
        try:
            return await ask()
        except StoreUnavailable as error:
            log.warning("waiting for the database: %s", error)
        if await happens(over, within_s=_RETRY_S, clock=clock):
            raise StoppedEarly


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

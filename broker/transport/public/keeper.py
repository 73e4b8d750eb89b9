"""Keeps a session with RabbitMQ: makes it again whenever it is lost, from the first attempt on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from broker.domain.clock import Clock
from broker.transport.port import TransportUnavailable
from broker.transport.public.session import PublicQueueMismatch, Session
from broker.transport.rabbitmq.connection import Backoff
from broker.transport.rabbitmq.timings import Timings

log = logging.getLogger("penstock.amqp")

_LIVED_S = 5.0
"""A session that lived this long was a good one: the next loss is retried at once again."""


class Keeper:
    """Has a session most of the time; `problem` says in words why not."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Session],
        *,
        clock: Clock,
        random: Callable[[], float],
        timings: Timings,
        prepare: Callable[[Session], Awaitable[None]] | None = None,
        watch: Callable[[Session], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """`prepare` works on each new session before anybody gets it; `watch` looks after it, and may end it."""
        self._name = name
        self._make = make
        self._clock = clock
        self._timings = timings
        self._backoff = Backoff(timings, random)
        self._prepare = prepare
        self._watch = watch
        self._session: Session | None = None
        self._up = asyncio.Event()
        self.problem: str | None = f"{name}: not connected yet"

    async def session(self) -> Session:
        """Wait for a session that is not lost; the deadline is the caller's."""
        while self._session is None or self._session.lost.is_set():
            self._up.clear()
            await self._up.wait()
        return self._session

    async def run(self) -> None:
        """Connect whenever there is no session, until cancelled; then the session is closed in good order."""
        while True:
            session = self._make()
            began = self._clock.monotonic()
            try:
                await session.open()
                if self._prepare is not None:
                    await self._prepare(session)
                self._session, self.problem = session, None
                self._up.set()
                await self._hold(session)
                self.problem = f"{self._name}: lost the connection to RabbitMQ at {session.server}: {session.why}"
                log.warning("%s", self.problem)
            except (TransportUnavailable, PublicQueueMismatch) as error:
                self.problem = f"{self._name}: {error}"
                log.warning("%s", self.problem)
            finally:
                self._session = None
                await session.close()
            if self._clock.monotonic() - began >= _LIVED_S:
                self._backoff.reset()
            await self._clock.sleep(self._backoff.next())

    async def _hold(self, session: Session) -> None:
        if self._watch is None:
            await session.lost.wait()
            return
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(session))
            await session.lost.wait()
            watching.cancel()

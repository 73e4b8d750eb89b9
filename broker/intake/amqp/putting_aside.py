"""Quarantine: what cannot be accepted is kept where an operator can look at it, with the reason, and noted."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from broker.domain.clock import Clock
from broker.errors import BrokerError, StoreRefused
from broker.store import quarantine
from broker.store.engine import Database
from broker.store.quarantine import Quarantined
from broker.transport.public.arrived import Arrived
from broker.transport.public.keeper import Keeper

log = logging.getLogger("penstock.intake")

_AGAIN_S = 1.0


class Quarantine:
    """Takes messages; returns when one is safe, however long that takes: until then it stays where it was."""

    def __init__(self, database: Database, publishing: Keeper, queue: str, *, clock: Clock) -> None:
        self._database = database
        self._publishing = publishing
        self._queue = queue
        self._clock = clock

    async def take(self, message: Arrived, code: str, reason: str) -> None:
        """Keep a message. First the message itself, then its row: a crash in between costs a second copy."""
        log.warning("a submission is put aside (%s): %s", code, reason)
        noted = Quarantined(
            code=code,
            reason=reason,
            size=len(message.body),
            user_id=message.user_id,
            message_id=message.message_id,
        )
        await self._until_done(lambda: self._keep(message, code, reason))
        await self._until_done(lambda: self._note(noted))

    async def _keep(self, message: Arrived, code: str, reason: str) -> None:
        session = await self._publishing.session()
        await session.ensure(self._queue)
        headers = {"penstock-queue": message.routing_key, "penstock-code": code, "penstock-reason": reason}
        if message.user_id is not None:
            headers["penstock-user-id"] = message.user_id  # as a property it would have to be our own
        # Its own headers stay behind: CC and BCC would have this copy delivered elsewhere as well
        properties: dict[str, Any] = {
            name: value
            for name in ("message_id", "correlation_id", "reply_to", "content_type", "content_encoding")
            if (value := getattr(message, name))
        }
        await session.publish(message.body, self._queue, headers=headers, **properties)

    async def _note(self, noted: Quarantined) -> None:
        try:
            await self._database.write(quarantine.add, noted)
        except StoreRefused:
            log.warning("a message in quarantine has no row: the database refuses it, which is a defect")

    async def _until_done(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await step()
            except BrokerError as error:
                log.warning("a message cannot be put aside yet: %s", error)
            await self._clock.sleep(_AGAIN_S)

"""The command line with defects planted into this process, to see that the scenarios find them.

    python tests/chaos/planted.py reaper_off hurried -- worker --account pool

Every word before `--` names a function below; the rest goes to `penstock`. The product has no switches for this.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, select

import broker.feeder.feeder as feeding
import broker.transport.rabbitmq.connection as connections
import broker.transport.rabbitmq.transport as transports
import broker.wiring.elected as electing
import workers.pipeline as pipelines
import workers.reaper as reaping
from broker.cli.app import app
from broker.domain.report import Report
from broker.errors import StoreUnavailable
from broker.feeder.reconcile import Overdue
from broker.store import manifest
from broker.store import workers as store
from broker.store.claim import Claim, Claimant, Claimed, Verdict
from broker.store.claim import claim as granted_or_not
from broker.store.sql import now
from broker.store.tables import workers
from broker.transport.rabbitmq.timings import Timings
from workers.recovery import bury
from workers.spool import Spool
from workers.work import Work

STILL_FOR_S = 6.5
"""Above the five seconds between two life signs."""
HASTE_S = 0.3
"""How long cursors are ahead of what is published: long enough for a kill to come in between."""


def hurried() -> None:
    """No defect: what waits long for certainty waits less, so that a test need not."""
    patch.object(reaping, "STILL_FOR_S", STILL_FOR_S).start()
    patch.object(reaping, "READ_S", 0.3).start()
    patch.object(electing, "RENEW_S", 0.3).start()
    patch.object(transports, "Timings", partial(Timings, publish=1.0)).start()


def no_claim() -> None:
    """Whoever holds a turn may call: no claim is refused because the job is finished, or runs elsewhere."""
    overruled = (Verdict.FINISHED, Verdict.ELSEWHERE)

    def claim(connection: Connection, claimant: Claimant, claims: Sequence[Claim]) -> list[Claimed]:
        answers = granted_or_not(connection, claimant, claims)
        return [Claimed(verdict=Verdict.GRANTED, number=1) if a.verdict in overruled else a for a in answers]

    patch.object(pipelines, "claim", claim).start()


def calls_end_with_the_connection() -> None:
    """A lost AMQP connection cancels the calls whose turns came over it."""
    running: set[asyncio.Task[Any]] = set()
    carry_out, gone = pipelines.Pipeline._carry_out, connections.Line._gone

    async def tied(self: pipelines.Pipeline, work: Work) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is made in a task")
        running.add(task)
        try:
            await carry_out(self, work)
        finally:
            running.discard(task)

    def lost(self: connections.Line, why: object) -> None:
        if not self.lost.is_set():
            for task in tuple(running):
                task.cancel()
        gone(self, why)

    patch.object(pipelines.Pipeline, "_carry_out", tied).start()
    patch.object(connections.Line, "_gone", lost).start()


def reaper_off() -> None:
    """Nobody looks for workers that died."""

    async def look(_: reaping.Reaper) -> int:
        return 0

    patch.object(reaping.Reaper, "look", look).start()


def death_by_age() -> None:
    """Whose last life sign is old is taken for dead, whatever stood between."""

    def aged(connection: Connection) -> list[str]:
        old = workers.c.heartbeat < now(connection) - reaping.STILL_FOR_S
        return list(
            connection.execute(select(workers.c.worker_id).where(workers.c.stopped_at.is_(None), old)).scalars()
        )

    async def look(self: reaping.Reaper) -> int:
        try:
            dead = await self._database.read(aged)
            await self._database.write(store.forget, dead)
            return await bury(self._database, dead) if dead else 0
        except StoreUnavailable:
            return 0

    patch.object(reaping.Reaper, "look", look).start()


def spool_off() -> None:
    """Answers that the database does not take are in memory only."""

    def append(_: Spool, _reports: Sequence[Report], **_how: bool) -> None:
        return

    patch.object(Spool, "append", append).start()


def cursor_before_confirms() -> None:
    """What is about to be published counts as fed, and nobody compares what was fed with the ledger."""
    publish = feeding.Feeder._publish

    async def hasty(self: feeding.Feeder, name: str, jobs: list[Any]) -> None:
        if jobs:
            cursors = [cursor.position() for cursor in self._routes[name].cursors.values()]
            await self._database.write(manifest.advance, cursors)
            await asyncio.sleep(HASTE_S)
        await publish(self, name, jobs)

    async def reconciled(*_: object) -> int:
        return 0

    patch.object(feeding.Feeder, "_publish", hasty).start()
    patch.object(feeding, "reconcile", reconciled).start()
    patch.object(Overdue, "hand_back", reconciled).start()


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        hurried,
        no_claim,
        calls_end_with_the_connection,
        reaper_off,
        death_by_age,
        spool_off,
        cursor_before_confirms,
    )
}


def main() -> None:
    names, arguments = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    for name in names:
        FAULTS[name]()
    app(arguments)


if __name__ == "__main__":
    main()

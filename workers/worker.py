"""One worker: bound to one account, from its registration to its goodbye."""

import asyncio
import logging

from broker.domain.attempt import AttemptState, CallError, ErrorClass, Scope
from broker.domain.report import Again, Report
from broker.errors import StoreUnavailable
from broker.store import workers as store
from broker.transport.port import Transport
from workers.bench import Bench
from workers.patience import happens
from workers.pipeline import Pipeline

log = logging.getLogger("penstock.worker")

_RETRY_S = 1.0


class Worker:
    """Runs a pipeline, and keeps its life sign."""

    def __init__(self, bench: Bench, transport: Transport) -> None:
        self.bench = bench
        self._stopped = asyncio.Event()
        changed = asyncio.Event()
        self.pipeline = Pipeline(bench, transport.consume(bench.routes, changed.set), changed)

    async def run(self) -> None:
        """Work until `stop`; then everything that was in flight is recorded, and the goodbye is said."""
        async with self.bench.calls:
            if await self._register():
                await self._work()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(self.bench.heartbeat.run(self.pipeline.signs, self.close_strangers)),
                tasks.create_task(self.bench.probing.run()),
            ]
            await self.bench.probing.looked()
            await self.pipeline.run()
            for task in background:
                task.cancel()

    async def _register(self) -> bool:
        """Be known to the database; false when it was told to stop before."""
        while not self._stopped.is_set():
            try:
                await self.bench.heartbeat.register()
            except StoreUnavailable as error:
                log.warning("not registered yet: %s", error)
                await happens(self._stopped, within_s=_RETRY_S, clock=self.bench.clock)
            else:
                return True
        return False

    def stop(self) -> None:
        """Start nothing more."""
        self._stopped.set()
        self.pipeline.stop()

    async def goodbye(self) -> None:
        """Close what the database holds open for this worker, and say that it is gone. Call it when all is recorded.

        A goodbye that the database does not take is no loss: a life sign that stands still says the same, later.
        """
        await self.bench.recorder.drained()
        self.bench.open.clear()  # no call is left: what the database still holds open was never sent
        await self.close_strangers()
        await self.bench.recorder.drained()
        try:
            await self.bench.database.write(store.stop, self.bench.claimant.worker_id)
        except StoreUnavailable as error:
            log.warning("no goodbye: %s", error)

    async def close_strangers(self) -> None:
        """Attempts open in the database that this process does not know were never sent: their claim's answer was lost.

        Known is what was in work before the look or is now: a call may be claimed, or reported, during it. A
        stranger is reported again until that is committed; the repeats change nothing.
        """
        bench = self.bench
        known = frozenset(bench.open)
        try:
            rows = await bench.database.read(store.open_attempts, bench.claimant.worker_id)
        except StoreUnavailable as error:
            log.warning("open attempts could not be compared: %s", error)
            return
        for attempt_id, (key, number, model) in rows.items():
            if attempt_id not in known and attempt_id not in bench.open:
                # Not `put`: waiting for room would hold up the heartbeat
                bench.recorder.put_nowait(
                    Report(
                        key=key,
                        number=number,
                        attempt_id=attempt_id,
                        account=bench.account.name,
                        provider=bench.account.provider,
                        model=model,
                        state=AttemptState.REFUSED,
                        error=_STRANGER,
                        finished_at=bench.clock.now(),
                        then=Again(in_s=0, why=ErrorClass.NEVER_SENT),
                    )
                )


_STRANGER = CallError(
    error_class=ErrorClass.NEVER_SENT, scope=Scope.SAME, message="claimed, but the claim's answer was lost: never sent"
)

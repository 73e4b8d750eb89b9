"""A feeder on a real database and the local transport, its time and its failures in the hands of a test."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from broker.domain.job import Job
from broker.feeder.cost import PoolRates
from broker.feeder.fair_share import NO_BONUS
from broker.feeder.feeder import REFRESH_S, SAVE_S, Feeder, RouteSupply
from broker.store import workers
from broker.store.claim import Claimant
from broker.store.engine import open_database
from broker.testing.builders import ACCOUNT, MODEL, PROVIDER
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import FragileDatabase
from broker.transport.local import LocalTransport
from broker.transport.port import Consumer, Delivery, TransportUnavailable, Turn

CLAIMANT = Claimant(worker_id="worker-1", account=ACCOUNT, provider=PROVIDER)


class FragileTransport(LocalTransport):
    """The local transport, as unreliable as one behind a network."""

    def __init__(self) -> None:
        super().__init__()
        self.gets_through = 1_000_000
        """So many turns more; then publishing fails."""

    async def publish(self, turns: Sequence[Turn]) -> None:
        through = turns[: self.gets_through]
        self.gets_through -= len(through)
        await super().publish(through)
        if len(through) < len(turns):
            raise TransportUnavailable("taken away by the test")


def supply(slots: int) -> RouteSupply:
    """Workers with so many slots, whose limits nobody knows: the window is their slots, as long as nothing runs."""
    return RouteSupply(slots=slots, workers=1, rates=PoolRates())


class FeederRig:
    """One feeder, and a worker that takes what it publishes."""

    def __init__(
        self, database: FragileDatabase, supplies: Mapping[str, RouteSupply], only: Sequence[int] | None
    ) -> None:
        self.database = database
        self.clock = ManualClock()
        self.transport = FragileTransport()
        self.fed: list[int] = []
        self.feeder = Feeder(
            database=database,
            transport=self.transport,
            supplies=supplies,
            clock=self.clock,
            only=only,
            bonus=NO_BONUS,
            on_fed=self.fed.append,
        )
        self.consumer: Consumer = self.transport.consume(list(supplies), lambda: None)

    def take(self) -> list[Job]:
        """What the window holds, left unacked."""
        return [job for delivery in self._deliveries() for job in delivery.turn.jobs]

    async def take_and_ack(self) -> list[Job]:
        """What the window holds, as a worker takes it that starts everything at once."""
        deliveries = self._deliveries()
        for delivery in deliveries:
            await delivery.ack()
        return [job for delivery in deliveries for job in delivery.turn.jobs]

    async def feed_all(self) -> list[Job]:
        """Feed and take until nothing more comes."""
        found: list[Job] = []
        while await self.feeder.feed():
            found.extend(await self.take_and_ack())
        return found

    async def refreshed(self) -> int:
        """Feed after the time at which the feeder looks at the batches again, and writes its cursors."""
        self.clock.advance(max(REFRESH_S, SAVE_S))
        return await self.feeder.feed()

    def _deliveries(self) -> Sequence[Delivery]:
        return self.consumer.take(1_000_000)


@asynccontextmanager
async def feeding(
    url: str, supplies: Mapping[str, RouteSupply] | None = None, *, slots: int = 5, only: Sequence[int] | None = None
) -> AsyncIterator[FeederRig]:
    """A rig over the migrated database at `url`, with a registered worker; one route unless supplies are given."""
    database = FragileDatabase(open_database(url))
    try:
        await database.write(workers.register, CLAIMANT.worker_id, CLAIMANT.account)
        yield FeederRig(database, {MODEL: supply(slots)} if supplies is None else supplies, only)
    finally:
        await database.close()

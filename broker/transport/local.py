"""The transport inside one process: the window is all it holds, and a restart begins empty."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from random import random

from broker.transport.port import Turn


class LocalDelivery:
    """A turn taken from the local window."""

    __slots__ = ("_transport", "turn")

    def __init__(self, transport: "LocalTransport", turn: Turn) -> None:
        self._transport: LocalTransport | None = transport
        self.turn = turn

    async def ack(self) -> None:
        if self._transport is not None:
            self._transport.acked(self.turn)
            self._transport = None


class LocalConsumer:
    """Takes from its routes in turn, so that no route waits behind another."""

    def __init__(self, transport: "LocalTransport", routes: Collection[str]) -> None:
        self._transport = transport
        self._routes = deque(sorted(routes))

    def take(self, most_jobs: int) -> list[LocalDelivery]:
        taken: list[LocalDelivery] = []
        empty = 0
        while most_jobs > 0 and empty < len(self._routes):
            turn = self._transport.pop(self._routes[0])
            self._routes.rotate(-1)
            if turn is None:
                empty += 1
                continue
            empty = 0
            most_jobs -= len(turn.jobs)
            taken.append(LocalDelivery(self._transport, turn))
        return taken

    def resize(self, jobs: int) -> None:
        """Nothing is at hand here before it is taken."""


class LocalTransport:
    """Queues in memory, one per route."""

    def __init__(self, random: Callable[[], float] = random) -> None:
        """`random` is uniform in [0, 1): it says who is told first of what arrives."""
        self._random = random
        self._queues: defaultdict[str, deque[Turn]] = defaultdict(deque)
        self._unacked: Counter[str] = Counter()
        self._arrived: defaultdict[str, deque[Callable[[], None]]] = defaultdict(deque)
        """Who is told first takes first. By chance, not in turn: a job that one may not have must reach others, and two
        that come round at the same pace would meet the wrong one each time."""

    async def publish(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            self._queues[turn.route].append(turn)
            self._unacked[turn.route] += len(turn.jobs)
        for route in {turn.route for turn in turns}:
            told = self._arrived[route]
            told.rotate(int(self._random() * len(told)))
            for wake in told:
                wake()

    def consume(self, routes: Collection[str], arrived: Callable[[], None]) -> "LocalConsumer":
        for route in routes:
            self._arrived[route].append(arrived)
        return LocalConsumer(self, routes)

    async def waiting(self, route: str) -> int:
        return self._unacked[route]

    def pop(self, route: str) -> Turn | None:
        queue = self._queues[route]
        return queue.popleft() if queue else None

    def acked(self, turn: Turn) -> None:
        self._unacked[turn.route] -= len(turn.jobs)

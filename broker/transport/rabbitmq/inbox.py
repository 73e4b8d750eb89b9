"""What one channel has delivered: turns that wait to be taken, and turns in a hand that are not acked yet."""

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence

from broker.transport.port import TransportUnavailable, Turn

log = logging.getLogger("penstock.transport")

Ack = Callable[[int], Awaitable[None]]


class RabbitDelivery:
    """A turn, and the one channel on which it can be acked."""

    __slots__ = ("_inbox", "queue", "tag", "turn")

    def __init__(self, inbox: "Inbox", queue: str, tag: int, turn: Turn) -> None:
        self._inbox: Inbox | None = inbox
        self.queue = queue
        self.tag = tag
        self.turn = turn

    async def ack(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            await inbox.acked(self)


class Inbox:
    """Of one channel. When the channel is lost, RabbitMQ delivers again whatever was not acked, to anybody."""

    def __init__(self, queues: Sequence[str], ack: Ack) -> None:
        self._ack = ack
        self._waiting: dict[str, deque[RabbitDelivery]] = {queue: deque() for queue in queues}
        self._jobs: defaultdict[str, int] = defaultdict(int)
        self.unacked: Counter[str] = Counter()
        """Turns by queue."""
        self.in_hand = 0
        """Turns that were taken and not acked."""
        self.over = False

    def came(self, queue: str) -> None:
        """A message was delivered; it is not unpacked yet."""
        self.unacked[queue] += 1

    def put(self, queue: str, tag: int, turn: Turn) -> None:
        """A turn may be taken from now on."""
        if not self.over:
            self._waiting[queue].append(RabbitDelivery(self, queue, tag, turn))
            self._jobs[turn.route] += len(turn.jobs)

    def pop(self, queue: str) -> RabbitDelivery | None:
        waiting = self._waiting[queue]
        if not waiting:
            return None
        self.in_hand += 1
        return waiting.popleft()

    @property
    def untaken(self) -> int:
        """Turns that wait to be taken."""
        return sum(map(len, self._waiting.values()))

    def jobs(self, route: str) -> int:
        """Jobs of this route that were delivered and not acked."""
        return self._jobs.get(route, 0)

    async def acked(self, delivery: RabbitDelivery) -> None:
        """Let go of a turn; on a lost channel that has happened already."""
        if self.over:
            return
        self.in_hand -= 1
        self._jobs[delivery.turn.route] -= len(delivery.turn.jobs)
        await self.done(delivery.queue, delivery.tag)

    async def done(self, queue: str, tag: int) -> None:
        """Ack a message. If the ack is lost the message comes again, and the claims say that nothing is to be done."""
        if self.over:
            return
        self.unacked[queue] -= 1
        try:
            await self._ack(tag)
        except TransportUnavailable as error:
            log.info("an ack was lost, the turn comes again: %s", error)

    def end(self) -> None:
        """The channel is gone: nobody takes or acks what came over it."""
        self.over = True
        self.in_hand = 0
        self.unacked.clear()
        self._jobs.clear()
        for waiting in self._waiting.values():
            waiting.clear()

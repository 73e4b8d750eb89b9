"""Making queues, and looking at them."""

import asyncio
import re
from contextlib import suppress

from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from broker.errors import ConfigError
from broker.transport.port import TransportUnavailable
from broker.transport.rabbitmq.connection import Line, lost_is_unavailable
from broker.transport.rabbitmq.topology import QUEUE_ARGUMENTS

_INEQUIVALENT = re.compile(r"inequivalent arg '(?P<argument>[^']+)'[^:]*: (?P<difference>.*)", re.DOTALL)


class QueueMismatch(ConfigError):
    """A queue of that name exists, but somebody made it differently."""

    code = "queue_mismatch"

    def __init__(self, queue: str, server_says: str) -> None:
        told = _INEQUIVALENT.search(server_says)
        self.queue = queue
        self.argument = told["argument"] if told else None
        """Which argument differs."""
        what = f"with another {told['argument']} ({told['difference']})" if told else f"differently ({server_says})"
        super().__init__(
            f"queue {queue!r} exists, made {what}; delete it (its turns are fed again), or choose another queue prefix"
        )


async def declare(channel: AbstractChannel, queue: str, within_s: float) -> int:
    """Make a queue unless it is there; returns the turns that wait in it.

    Raises `QueueMismatch` and `TransportUnavailable`; either may have cost the channel.
    """
    with lost_is_unavailable(f"declaring {queue}"):
        try:
            async with asyncio.timeout(within_s):
                underlay = await channel.get_underlay_channel()
                made = await underlay.queue_declare(queue, durable=True, arguments=dict(QUEUE_ARGUMENTS))
        except ChannelPreconditionFailed as error:
            raise QueueMismatch(queue, str(error)) from error
    return made.message_count or 0


async def count(channel: AbstractChannel, queue: str, within_s: float) -> int | None:
    """How many turns wait in a queue; `None` when there is no such queue, which costs the channel."""
    with lost_is_unavailable(f"looking at {queue}"):
        try:
            async with asyncio.timeout(within_s):
                underlay = await channel.get_underlay_channel()
                seen = await underlay.queue_declare(queue, passive=True)
        except ChannelNotFoundEntity:
            return None
    return seen.message_count or 0


async def exists(line: Line, queue: str, within_s: float) -> bool:
    """Whether there is such a queue, asked on a channel of its own."""
    with lost_is_unavailable(f"looking for {queue}"):
        async with asyncio.timeout(within_s):
            channel = await line.channel(confirms=False)
    try:
        return await count(channel, queue, within_s) is not None
    finally:
        await close_channel(channel, within_s)


async def close_channel(channel: AbstractChannel, within_s: float) -> None:
    """Close a channel after everything that was sent on it, or leave it to the end of its connection."""
    if channel.is_closed:
        return
    with suppress(TransportUnavailable), lost_is_unavailable("closing a channel"):
        async with asyncio.timeout(within_s):
            await channel.close()

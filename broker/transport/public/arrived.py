"""A message that another program published."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from faststream.rabbit import RabbitMessage

from broker.transport.port import TransportUnavailable
from broker.transport.public.readable import UNREADABLE
from broker.transport.rabbitmq.connection import lost_is_unavailable

log = logging.getLogger("penstock.amqp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """Its body and properties; nothing in them was checked but `user_id`, by RabbitMQ."""

    body: bytes
    headers: Mapping[str, Any]
    routing_key: str
    message_id: str | None
    correlation_id: str | None
    reply_to: str | None
    user_id: str | None
    """Who published it, where the publisher says so: RabbitMQ refuses any name but that of the connection's user."""
    content_type: str | None
    content_encoding: str | None
    _ack: Callable[[], Awaitable[None]]

    @classmethod
    def of(cls, message: RabbitMessage) -> "Arrived":
        """Take a message as FastStream hands it out; ids that it makes up for those that are missing are left out."""
        raw = message.raw_message
        return cls(
            body=raw.body,
            headers=raw.headers,
            routing_key=raw.routing_key or "",
            message_id=raw.message_id,
            correlation_id=raw.correlation_id,
            reply_to=raw.reply_to,
            user_id=raw.user_id,
            content_type=raw.content_type,
            content_encoding=raw.content_encoding,
            _ack=message.ack,
        )

    @property
    def readable(self) -> bool:
        """Whether its properties are its own."""
        return UNREADABLE not in self.headers

    async def ack(self) -> None:
        """Let go of it. If the ack is lost the message comes again."""
        try:
            with lost_is_unavailable("an ack"):
                await self._ack()
        except TransportUnavailable as error:
            log.info("an ack was lost, the message comes again: %s", error)

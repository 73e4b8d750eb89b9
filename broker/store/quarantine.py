"""Messages that were no submissions: from whom, and why. What they said is in the queue of that name."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert

from broker.store.sql import now
from broker.store.tables import quarantine

_LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One such message."""

    code: str
    reason: str
    """In words, never what was in the body."""
    size: int
    """Bytes of the body."""
    user_id: str | None = None
    message_id: str | None = None


def add(connection: Connection, message: Quarantined) -> None:
    """Note a message."""
    connection.execute(
        insert(quarantine).values(
            received_at=now(connection),
            user_id=_storable(message.user_id),
            message_id=_storable(message.message_id),
            code=message.code,
            reason=_storable(message.reason),
            size=message.size,
        )
    )


def _storable(text: str | None) -> str | None:
    """Cut, and without what a database or a terminal cannot take: producers choose their ids."""
    if text is None:
        return None
    return "".join(character if character.isprintable() else "\ufffd" for character in text[:_LONGEST_TEXT])

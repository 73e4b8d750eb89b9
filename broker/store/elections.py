"""Elections: roles that one process plays at a time, decided by a row with a lease on the database's clock.

Each take-over raises the epoch, and what its holder writes as such is refused once another epoch has begun: a
process that was stopped and goes on cannot undo what its successor has done.
"""

from sqlalchemy import Connection, select, update

from broker.errors import BrokerError
from broker.store.sql import now, upsert
from broker.store.tables import elections

LEASE_S = 6.0
"""A holder that has not renewed for so long is taken for dead."""


class Deposed(BrokerError):
    """Another process plays this role now."""

    code = "deposed"


def stand(connection: Connection, role: str, holder: str, epoch: int | None) -> int | None:
    """Take a role that nobody plays, or renew one's own `epoch`; returns the epoch, `None` while another plays it."""
    at = now(connection)
    first = upsert(connection, elections).values(role=role, epoch=0, holder="", renewed_at=0.0)
    connection.execute(first.on_conflict_do_nothing())
    row = connection.execute(select(elections).where(elections.c.role == role).with_for_update()).one()
    mine = row.holder == holder and row.epoch == epoch
    if not mine and at - row.renewed_at < LEASE_S:
        return None
    current = row.epoch if mine else row.epoch + 1
    connection.execute(
        update(elections).where(elections.c.role == role).values(epoch=current, holder=holder, renewed_at=at)
    )
    return int(current)


def resign(connection: Connection, role: str, epoch: int) -> None:
    """Leave a role to whoever stands next, at once."""
    connection.execute(
        update(elections).where(elections.c.role == role, elections.c.epoch == epoch).values(renewed_at=0.0)
    )


def check(connection: Connection, role: str, epoch: int) -> None:
    """Raise `Deposed` unless this epoch is the latest."""
    latest = connection.execute(select(elections.c.epoch).where(elections.c.role == role)).scalar_one()
    if latest != epoch:
        raise Deposed(f"another process plays the {role} now")

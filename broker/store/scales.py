"""How many worker processes an operator asked for, and which are there."""

from collections.abc import Mapping

from sqlalchemy import Connection, delete, select

from broker.domain.presence import Presence
from broker.store.claim import HEARTBEAT_FRESH_S
from broker.store.sql import JsonRows, Sql, now
from broker.store.tables import scales, workers

_WANTED = JsonRows("wanted", account="text", processes="integer")
_ASK = Sql(
    """
    insert into scales (account, processes, set_at)
    select w.account, w.processes, {now} from {wanted} w where true order by w.account
    on conflict (account) do update set processes = excluded.processes, set_at = excluded.set_at
    """,
    _WANTED,
)


def ask(connection: Connection, wanted: Mapping[str, int | None]) -> None:
    """Ask for so many processes of these accounts; `None`: as many as the configuration says."""
    numbers = [(account, processes) for account, processes in wanted.items() if processes is not None]
    if numbers:
        connection.execute(_ASK.on(connection), {"wanted": _WANTED.pack(numbers)})
    withdrawn = wanted.keys() - {account for account, _ in numbers}
    if withdrawn:
        connection.execute(delete(scales).where(scales.c.account.in_(sorted(withdrawn))))


def asked(connection: Connection) -> dict[str, int]:
    """Processes that were asked for, by account."""
    return {row.account: row.processes for row in connection.execute(select(scales.c.account, scales.c.processes))}


def present(connection: Connection) -> list[Presence]:
    """Worker processes that have not said goodbye and have shown life within the last 15 s, the oldest first."""
    rows = connection.execute(
        select(workers)
        .where(workers.c.stopped_at.is_(None), workers.c.heartbeat > now(connection) - HEARTBEAT_FRESH_S)
        .order_by(workers.c.account, workers.c.started_at, workers.c.worker_id)
    )
    return [
        Presence(
            worker_id=row.worker_id,
            account=row.account,
            in_flight=row.in_flight,
            slots=row.slots,
            waits_for=row.waits_for,
            busy=row.busy,
        )
        for row in rows
    ]

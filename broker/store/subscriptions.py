"""Who gets results sent, and up to which one of each batch they were served.

The cursor of a batch stands at the last `seq` whose message was confirmed; one more, when the message that says that
the batch has ended was confirmed as well.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from broker.domain.batch import TERMINAL, BatchState, Counts
from broker.domain.form import BatchForm
from broker.errors import CallerError
from broker.store.sql import JsonRows, Sql, now
from broker.store.submissions import NO_BATCH, Done, Submission, find, once
from broker.store.tables import subscription_cursors, subscriptions

_ENDED = JsonRows("ended", state="text")
_BACKLOG = Sql(
    """
    select * from (
      select s.subscription_id, s.project, s.name, b.batch_id, b.name as batch, b.dialect, b.state, b.total, b.fed,
        b.succeeded, b.failed, b.cancelled, b.expired, coalesce(c.seq, 0) as seq,
        row_number() over (partition by s.subscription_id order by b.batch_id) as place
      from subscriptions s
      join batches b on b.project = s.project and (s.batch_id is null or b.batch_id = s.batch_id)
      left join subscription_cursors c on c.subscription_id = s.subscription_id and c.batch_id = b.batch_id
      where b.state <> 'receiving' and (
        b.succeeded + b.failed + b.cancelled + b.expired > coalesce(c.seq, 0)
        or (b.succeeded + b.failed + b.cancelled + b.expired = coalesce(c.seq, 0)
            and b.state in (select e.state from {ended} e)))
    ) as waiting where place <= :most order by place, subscription_id
    """,
    _ENDED,
)
_ADVANCE = Sql(
    """
    insert into subscription_cursors (subscription_id, batch_id, seq)
    select s.subscription_id, :batch_id, :seq from subscriptions s where s.subscription_id = :subscription_id
    on conflict (subscription_id, batch_id) do update set seq = excluded.seq
    where subscription_cursors.seq < excluded.seq
    """
)


class SubscriptionExists(CallerError):
    """The project has a subscription of this name, to something else."""

    code = "subscription_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"subscription {name!r} exists, to another batch; take another name, or unsubscribe first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """A batch of which a subscription has not got everything yet."""

    subscription_id: int
    project: str
    name: str
    """Of the subscription."""
    batch_id: int
    batch: str | None
    """What its producer calls it."""
    form: BatchForm
    """How its results are written."""
    state: BatchState
    counts: Counts
    seq: int
    """The last that was served."""

    @property
    def ended(self) -> bool:
        """Whether no more results will come."""
        return self.state in TERMINAL


def subscribe(connection: Connection, submission: Submission, name: str, batch: str | None, reply: str) -> str:
    """Send the results of one batch, or of all of the project, once; a subscription that is there stays as it is.

    Raises `NoBatchOfThatName`, `SubscriptionExists` and `IdConflict`.
    """

    def act() -> Done:
        batch_id = None if batch is None else find(connection, submission.project, batch)
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        connection.execute(
            insert(subscriptions)
            .values(project=submission.project, name=name, batch_id=batch_id, created_at=now(connection))
            .on_conflict_do_nothing()
        )
        served = connection.execute(
            select(subscriptions.c.batch_id).where(*_this(submission.project, name))
        ).scalar_one()
        if served != batch_id:
            raise SubscriptionExists(name)
        return Done(batch_id=batch_id or NO_BATCH, reply=reply)

    return once(connection, submission, act)


def unsubscribe(connection: Connection, submission: Submission, name: str, reply: str) -> str:
    """Forget a subscription and how far it got, if there is one, once; raises `IdConflict`."""

    def act() -> Done:
        this = select(subscriptions.c.subscription_id).where(*_this(submission.project, name))
        subscription_id = connection.execute(this.with_for_update()).scalar_one_or_none()
        if subscription_id is not None:
            for table in (subscription_cursors, subscriptions):
                connection.execute(delete(table).where(table.c.subscription_id == subscription_id))
        return Done(batch_id=NO_BATCH, reply=reply)

    return once(connection, submission, act)


def backlog(connection: Connection, most: int) -> list[Backlog]:
    """What is still to be sent: up to so many batches of each subscription, in turns."""
    given = {"ended": _ENDED.pack((state,) for state in sorted(TERMINAL)), "most": most}
    return [
        Backlog(
            subscription_id=row.subscription_id,
            project=row.project,
            name=row.name,
            batch_id=row.batch_id,
            batch=row.batch,
            form=BatchForm(row.dialect),
            state=BatchState(row.state),
            counts=Counts(
                total=row.total,
                fed=row.fed,
                succeeded=row.succeeded,
                failed=row.failed,
                cancelled=row.cancelled,
                expired=row.expired,
            ),
            seq=row.seq,
        )
        for row in connection.execute(_BACKLOG.on(connection), given)
    ]


def advance(connection: Connection, subscription_id: int, batch_id: int, seq: int) -> None:
    """Everything up to `seq` was confirmed; forward only, and nothing for a subscription that is gone."""
    given = {"subscription_id": subscription_id, "batch_id": batch_id, "seq": seq}
    connection.execute(_ADVANCE.on(connection), given)


def _this(project: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return subscriptions.c.project == project, subscriptions.c.name == name

"""The tables, once for both databases.

Times are seconds since the epoch on the database's clock, as doubles. Bodies are bytes exactly as they came.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    text,
    true,
)
from sqlalchemy.types import TypeDecorator

from broker.domain import money

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_BIG_ID = BigInteger().with_variant(Integer(), "sqlite")


class Money(TypeDecorator[Decimal]):
    """`numeric(24,10)` on PostgreSQL; on SQLite, which has no decimal, a whole number of 1e-10 dollars."""

    impl = Numeric(24, money.PLACES)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else Numeric(24, money.PLACES))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return money.to_units(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None or dialect.name != "sqlite":
            return value  # type: ignore[no-any-return]  # the driver gives Decimal
        return money.from_units(value)


def _usage_columns() -> list[Column[Any]]:
    """The inclusive token buckets of one call or of one finished job; null is unknown."""
    return [
        Column("input_tokens", BigInteger),
        Column("cache_read_tokens", BigInteger),
        Column("cache_write_tokens", BigInteger),
        Column("output_tokens", BigInteger),
        Column("reasoning_tokens", BigInteger),
    ]


def _sum_columns() -> list[Column[Any]]:
    """Sums over attempts that have reported; an unknown bucket adds nothing."""
    counts = ("attempts", *(column.name for column in _usage_columns()), "unpriced")
    return [
        *(Column(name, BigInteger, nullable=False, server_default=text("0")) for name in counts),
        Column("cost", Money, nullable=False, server_default=text("0")),
    ]


projects = Table(
    "projects",
    metadata,
    Column("name", String, primary_key=True),
    Column("created_at", Double, nullable=False),
)

submissions = Table(
    "submissions",
    metadata,
    Column("project", String, nullable=False),
    Column("submission_id", String, nullable=False),
    Column("body_hash", String, nullable=False),
    Column("batch_id", _BIG_ID, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("reply", String),
    PrimaryKeyConstraint("project", "submission_id"),
)

# A batch that is not sealed is open: more jobs may come, and it does not complete. `name` is what producers call it
# by. `finished` is succeeded + failed + cancelled + expired, and the last `seq`. No index on a column that a
# recording transaction updates: this is the one hot row of every flush.
batches = Table(
    "batches",
    metadata,
    Column("batch_id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("project", String, nullable=False),
    Column("tag", String, nullable=False, server_default=""),
    Column("dialect", String, nullable=False),
    Column("state", String, nullable=False),
    Column("weight", Double, nullable=False, server_default=text("1")),
    Column("source", String, nullable=False),
    Column("output", String),
    Column("total", BigInteger, nullable=False, server_default=text("0")),
    Column("fed", BigInteger, nullable=False, server_default=text("0")),
    Column("succeeded", BigInteger, nullable=False, server_default=text("0")),
    Column("failed", BigInteger, nullable=False, server_default=text("0")),
    Column("cancelled", BigInteger, nullable=False, server_default=text("0")),
    Column("expired", BigInteger, nullable=False, server_default=text("0")),
    *_sum_columns(),
    Column("created_at", Double, nullable=False),
    Column("accepted_at", Double),
    Column("finished_at", Double),
    Column("name", String),
    Column("sealed", Boolean, nullable=False, server_default=true()),
    Column("seal_at", Double),
    Column("seal_after_s", Double),
    Column("continues", _BIG_ID),
    Column("on_loss", String, nullable=False, server_default="fail"),
    Column("use", String),
    Index(None, "project", "name", unique=True),
    postgresql_with={"fillfactor": 20},
)

# The manifest: `payload` holds the jobs as zstd-compressed JSON lines, `fed` of which were handed to the queue.
segments = Table(
    "segments",
    metadata,
    Column("batch_id", _BIG_ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("route", String, nullable=False),
    Column("first_position", BigInteger, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("jobs", Integer, nullable=False),
    Column("fed", Integer, nullable=False, server_default=text("0")),
    Column("payload", LargeBinary, nullable=False),
    PrimaryKeyConstraint("batch_id", "number"),
    ForeignKeyConstraint(["batch_id"], ["batches.batch_id"]),
    Index(None, "batch_id", "first_position"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("batch_id", _BIG_ID, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("attempt_id", String, nullable=False),
    Column("worker_id", String, nullable=False),
    Column("account", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("model", String, nullable=False),
    Column("state", String, nullable=False),
    Column("error_class", String),
    Column("error", String),
    Column("status", SmallInteger),
    Column("provider_request_id", String),
    Column("claimed_at", Double, nullable=False),
    Column("sent_at", Double),
    Column("finished_at", Double),
    *_usage_columns(),
    Column("usage_source", String),
    Column("cost", Money),
    Column("price_version", String),
    PrimaryKeyConstraint("batch_id", "position", "number"),
    CheckConstraint("(state = 'open') = (finished_at is null)", name="finished"),
    Index(
        "uq_attempts_open",
        "batch_id",
        "position",
        unique=True,
        sqlite_where=text("finished_at is null"),
        postgresql_where=text("finished_at is null"),
    ),
    Index(
        "ix_attempts_open_worker",
        "worker_id",
        sqlite_where=text("finished_at is null"),
        postgresql_where=text("finished_at is null"),
    ),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05},
)

results = Table(
    "results",
    metadata,
    Column("batch_id", _BIG_ID, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("custom_id", String),
    Column("state", String, nullable=False),
    Column("status", SmallInteger),
    Column("body", LargeBinary),
    Column("error_code", String),
    Column("error_message", String),
    Column("request_id", String),
    *_usage_columns(),
    Column("usage_source", String),
    Column("cost", Money),
    Column("account", String),
    Column("provider", String),
    Column("model", String),
    Column("attempts", Integer, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("warnings", String),
    PrimaryKeyConstraint("batch_id", "position"),
    # Partial, so that only readers who say `seq > 0` use it: on a table without statistics PostgreSQL would look
    # single jobs up by its first column and read a whole batch for each.
    Index(
        "uq_results_seq", "batch_id", "seq", unique=True, sqlite_where=text("seq > 0"), postgresql_where=text("seq > 0")
    ),
)

# Of a job that takes several calls, one after the other: the answers that are there, until the last one makes the
# result. `number` is that of the attempt.
part_answers = Table(
    "part_answers",
    metadata,
    Column("batch_id", _BIG_ID, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("part", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("batch_id", "position", "part"),
)

# A due row hands a job back to the feeder: `at` is when, `fed_at` when it was last taken.
due = Table(
    "due",
    metadata,
    Column("batch_id", _BIG_ID, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("fed_at", Double),
    Column("why", String, nullable=False),
    PrimaryKeyConstraint("batch_id", "position"),
    Index(None, "at"),
)

workers = Table(
    "workers",
    metadata,
    Column("worker_id", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column("beats", BigInteger, nullable=False, server_default=text("0")),
    Column("in_flight", Integer, nullable=False, server_default=text("0")),
    Column("stopped_at", Double),
    Column("slots", Integer),
    Column("waits_for", String),
    Column("busy", Double),
    postgresql_with={"fillfactor": 20},
)

usage_hourly = Table(
    "usage_hourly",
    metadata,
    Column("project", String, nullable=False),
    Column("tag", String, nullable=False),
    Column("account", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("model", String, nullable=False),
    Column("hour", BigInteger, nullable=False),
    *_sum_columns(),
    PrimaryKeyConstraint("project", "tag", "account", "provider", "model", "hour"),
    postgresql_with={"fillfactor": 20},
)

# Which process plays a role that only one may play. Whoever takes over raises the epoch, and writes of an earlier
# epoch are refused.
elections = Table(
    "elections",
    metadata,
    Column("role", String, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", String, nullable=False),
    Column("renewed_at", Double, nullable=False),
)

# How many worker processes an account shall have, where an operator said so while the fleet ran.
scales = Table(
    "scales",
    metadata,
    Column("account", String, primary_key=True),
    Column("processes", Integer, nullable=False),
    Column("set_at", Double, nullable=False),
)

# Messages that were no submissions, and why. What they said is in the queue of the same name, not here.
quarantine = Table(
    "quarantine",
    metadata,
    Column("quarantine_id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("received_at", Double, nullable=False),
    Column("user_id", String),
    Column("message_id", String),
    Column("code", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("size", Integer, nullable=False),
)

# Who gets results sent: of one batch, or of all batches of a project.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("subscription_id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("project", String, nullable=False),
    Column("name", String, nullable=False),
    Column("batch_id", _BIG_ID),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("project", "name"),
)

# Up to which result of a batch a subscription was served.
subscription_cursors = Table(
    "subscription_cursors",
    metadata,
    Column("subscription_id", _BIG_ID, nullable=False),
    Column("batch_id", _BIG_ID, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("subscription_id", "batch_id"),
    ForeignKeyConstraint(["subscription_id"], ["subscriptions.subscription_id"]),
    postgresql_with={"fillfactor": 20},
)

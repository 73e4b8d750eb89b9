"""Writes `docs/reference/schema.md` from the tables.

`python -m broker.store.reference > docs/reference/schema.md`; a test fails when the file is stale.
"""

import sys
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Dialect, Index, Table
from sqlalchemy.dialects import registry

from broker.store.tables import metadata

_HEAD = """\
# Tables

<!-- Generated: python -m broker.store.reference > docs/reference/schema.md -->

The same tables on SQLite and PostgreSQL. You may read them with any client while a batch runs; only penstock writes
them. Times are seconds since the epoch on the database's clock, apart from `attempts.sent_at` and
`attempts.finished_at`, which are the worker's. Token columns are inclusive (`input_tokens` contains cache reads and
writes, `output_tokens` contains reasoning); null is unknown, never zero. Money is US dollars: `NUMERIC(24, 10)` on
PostgreSQL, on SQLite a whole number of 1e-10 dollars.

```sql
-- what a batch has cost so far, by account (SQLite)
select account, count(*), sum(cost) / 1e10 from attempts where batch_id = 1 group by account;
```
"""
_MEANING = {
    "projects": "Who batches belong to; the embedded mode has one, `default`.",
    "submissions": "Idempotency: which batch a submission opened, and the digest of what was submitted.",
    "batches": "One row per batch: its state, its counts, and the sums over all its attempts that have reported.",
    "segments": "The manifest: what was accepted, up to 1,000 jobs of one batch and one route to a row, compressed.",
    "attempts": "One row per provider call, whatever became of it. See [states](../states.md).",
    "results": "One row per finished job. `seq` is gapless and in commit order within a batch.",
    "part_answers": "Answers so far of jobs that take several calls: `part` counts from 0, `number` is the attempt's.",
    "due": "Jobs to be fed again, when and why. A row goes when the job is claimed or finished.",
    "workers": "One row per worker and process start, with its life sign.",
    "usage_hourly": "Sums of the attempts that have reported, by the hour (seconds since the epoch) of their end.",
    "elections": "Which process plays a role that only one may play, in which epoch, and its last life sign.",
    "scales": "How many worker processes `penstock scale` asked for, by account.",
    "quarantine": "Messages that were refused unread: from whom, and why. The messages are in the queue.",
    "subscriptions": "Who gets results sent over AMQP: those of one batch, or of all batches of a project.",
    "subscription_cursors": "Up to which `seq` of a batch a subscription was served.",
}
_DIALECTS: tuple[Dialect, ...] = tuple(registry.load(name)() for name in ("sqlite", "postgresql"))


def markdown() -> str:
    """Return the whole page."""
    return _HEAD + "".join(_section(table) for table in metadata.sorted_tables)


def _section(table: Table) -> str:
    return (
        "\n".join(("", f"## `{table.name}`", "", _MEANING[table.name], "", *_columns(table), "", *_keys(table))) + "\n"
    )


def _columns(table: Table) -> Iterator[str]:
    yield "| Column | SQLite | PostgreSQL | |"
    yield "| --- | --- | --- | --- |"
    for column in table.columns:
        types = " | ".join(column.type.compile(dialect=dialect) for dialect in _DIALECTS)
        yield f"| `{column.name}` | {types} | {_required(column)} |"


def _required(column: Column[Any]) -> str:
    return "may be null" if column.nullable else ""


def _keys(table: Table) -> Iterator[str]:
    yield f"Primary key: {_named(column.name for column in table.primary_key.columns)}."
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        kind = "Unique index" if index.unique else "Index"
        yield f"{kind}: {_named(column.name for column in index.columns)}{_condition(index)}."


def _condition(index: Index) -> str:
    where = index.dialect_options["postgresql"]["where"]
    return "" if where is None else f" where `{where}`"


def _named(names: Iterator[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.stdout.write(markdown())

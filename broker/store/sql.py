"""SQL text that both databases take, with rows handed in as one JSON parameter.

    KEYS = JsonRows("keys", batch_id="bigint", position="bigint")
    FACTS = Sql("select k.batch_id, … from {keys} k", KEYS)
    connection.execute(FACTS.on(connection), {"keys": KEYS.pack(rows)})

One parameter, whatever the number of rows: one prepared statement, one plan.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Table, TextClause, text
from sqlalchemy.dialects import postgresql, sqlite

_NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())::double precision",
}
_SKIP_LOCKED = {"sqlite": "", "postgresql": "for update skip locked"}


class JsonRows:
    """A row source over a JSON array of arrays; columns in the order of their declaration."""

    def __init__(self, parameter: str, **columns: str) -> None:
        self.parameter = parameter
        self._columns = columns

    def source(self, dialect: str) -> str:
        if dialect == "sqlite":
            # `->>` already gives SQLite the JSON value's own type
            picks = ", ".join(f"value ->> {i} as {name}" for i, name in enumerate(self._columns))
            return f"(select {picks} from json_each(:{self.parameter}))"
        picks = ", ".join(f"(v ->> {i})::{kind} as {name}" for i, (name, kind) in enumerate(self._columns.items()))
        # A sub-select that PostgreSQL may not flatten: the array is taken apart once
        return f"(select {picks} from json_array_elements(cast(:{self.parameter} as json)) as t(v) offset 0)"

    @staticmethod
    def pack(rows: Iterable[Sequence[Any]]) -> str:
        return orjson.dumps([tuple(row) for row in rows]).decode()


class Sql:
    """One statement; `{name}` stands for a row source, `{now}` for the database's clock."""

    def __init__(self, template: str, *sources: JsonRows) -> None:
        self._variants: dict[str, TextClause] = {
            dialect: text(self._spelled(template, dialect, sources)) for dialect in ("sqlite", "postgresql")
        }

    def on(self, connection: Connection) -> TextClause:
        return self._variants[connection.dialect.name]

    @staticmethod
    def _spelled(template: str, dialect: str, sources: Sequence[JsonRows]) -> str:
        return template.format(
            now=_NOW[dialect],
            skip_locked=_SKIP_LOCKED[dialect],
            **{source.parameter: source.source(dialect) for source in sources},
        )


class Facts(Sql):
    """A query whose rows come back as one JSON value.

    Python's driver for SQLite lets go of the interpreter lock at every row that it fetches. In a busy process each
    of these costs a wait for the event loop's thread, and makes that one wait: a third of a record's time.
    """

    def __init__(self, template: str, *sources: JsonRows, columns: Sequence[str]) -> None:
        super().__init__(template, *sources)
        picks = ", ".join(f"g.{column}" for column in columns)
        wrapped = {
            "sqlite": f"select json_group_array(json_array({picks})) from ({{}}) g",
            "postgresql": f"select coalesce(json_agg(json_build_array({picks})), '[]')::text from ({{}}) g",
        }
        self._variants = {name: text(wrapped[name].format(clause.text)) for name, clause in self._variants.items()}

    def read(self, connection: Connection, **parameters: Any) -> list[list[Any]]:
        """Run it; the rows, in no order."""
        rows: list[list[Any]] = orjson.loads(connection.execute(self.on(connection), parameters).scalar_one())
        return rows


_READ_CLOCK = Sql("select {now}")


def now(connection: Connection) -> float:
    """Seconds since the epoch, on the database's clock."""
    return float(connection.execute(_READ_CLOCK.on(connection)).scalar_one())


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Begin an insert that says what to do where the row is there already."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)

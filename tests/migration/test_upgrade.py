"""The schema: reached from nothing on both databases, and the same as the tables in the code."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from broker.domain.loss import OnLoss
from broker.errors import StoreUnavailable
from broker.store import continuing, manifest, migrate
from broker.store.engine import Operation, open_database
from broker.store.migrate import SchemaTooNew
from broker.store.segment import SegmentWriter, read_segment, unpack_line
from broker.store.tables import metadata
from broker.testing.builders import a_claim, a_report
from broker.testing.contracts.store import opened

HEAD = "0003"
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


def written(url: str, *operations: Operation[[], Any]) -> list[Any]:
    """Run operations, a transaction each."""

    async def run() -> list[Any]:
        database = open_database(url)
        try:
            return [await database.write(operation) for operation in operations]
        finally:
            await database.close()

    return asyncio.run(run())


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def test_an_empty_database_is_brought_to_the_newest_schema(empty_url: str) -> None:
    before, after, revision, found = written(empty_url, migrate.current, migrate.upgrade, migrate.current, tables)
    assert (before, after, revision) == (None, (None, HEAD), HEAD)
    assert found == {*metadata.tables, "alembic_version"}


def test_a_second_upgrade_changes_nothing(empty_url: str) -> None:
    written(empty_url, migrate.upgrade)
    with opened(empty_url) as ledger:
        batch_id = ledger.batch(1)
        ledger.claim_all(batch_id, 1)
        ledger.record(a_report((batch_id, 0)))
        assert ledger.write(migrate.upgrade) == (HEAD, HEAD)
        assert len(ledger.results(batch_id)) == 1
        ledger.audit()


def _an_earlier_database(connection: Connection) -> None:
    """What 0002 left: a batch of two rows, one of which has been answered."""
    config = migrate._config()
    config.attributes["connection"] = connection
    command.upgrade(config, "0002")
    lines = [b'{"position":%d,"custom_id":"row","url":"/v1/embeddings","body":{}}' % position for position in range(2)]
    payload = SegmentWriter().draft("m", 0, 1, lines).payload
    for statement in (
        (
            "insert into batches (batch_id, project, dialect, state, source, total, succeeded, created_at)"
            " values (1, 'default', 'openai', 'running', 'jobs.jsonl', 2, 1, 0)"
        ),
        (
            "insert into segments (batch_id, number, route, first_position, last_position, jobs, fed, payload)"
            " values (1, 0, 'm', 0, 1, 2, 2, :payload)"
        ),
        (
            "insert into results (batch_id, position, seq, state, attempts, finished_at)"
            " values (1, 0, 1, 'succeeded', 1, 0)"
        ),
    ):
        connection.execute(text(statement), {"payload": payload} if ":payload" in statement else {})


def test_what_an_earlier_version_left_goes_on(empty_url: str) -> None:
    written(empty_url, _an_earlier_database)
    assert written(empty_url, migrate.upgrade) == [("0002", HEAD)]
    with opened(empty_url) as ledger:
        (result,) = ledger.results(1)
        assert result.warnings == ()
        before = ledger.read(continuing.predecessor, 1)
        assert (before.on_loss, before.use) == (OnLoss.FAIL, None)
        (_, second) = map(unpack_line, read_segment(ledger.read(manifest.payload, 1, 0)))
        assert (second.position, second.on_loss) == (1, OnLoss.FAIL)
        ledger.claim(a_claim((1, 1)))
        ledger.record(a_report((1, 1)))
        assert ledger.get(1).counts.succeeded == 2


def test_the_migrations_lead_to_the_tables_in_the_code(database_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    assert written(database_url, differences) == [[]]


def _from_the_code(connection: Connection) -> None:
    metadata.drop_all(connection)
    metadata.create_all(connection)


_EVERYTHING = {
    # Constraints, partial indexes and storage parameters, which a comparison of models does not see
    "sqlite": "select type, name, tbl_name, sql from sqlite_master where tbl_name <> 'alembic_version' order by 1, 2",
    "postgresql": """
        select 'table', c.relname::text, coalesce(c.reloptions::text, ''), '' from pg_class c
          where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'alembic_version'
        union all select 'index', indexname::text, tablename::text, indexdef from pg_indexes
          where schemaname = 'public' and tablename <> 'alembic_version'
        union all select 'constraint', conname::text, conrelid::regclass::text, pg_get_constraintdef(oid)
          from pg_constraint where connamespace = 'public'::regnamespace
            and conrelid::regclass::text <> 'alembic_version'
        union all select 'column', column_name::text, table_name::text,
            concat_ws(' ', data_type, numeric_precision, numeric_scale, is_nullable, column_default)
          from information_schema.columns where table_schema = 'public' and table_name <> 'alembic_version'
        order by 1, 2, 3
        """,
}


def everything(connection: Connection) -> list[tuple[str, ...]]:
    rows = connection.execute(text(_EVERYTHING[connection.dialect.name]))
    return [tuple(" ".join(str(value).split()) for value in row) for row in rows]


def _lines(found: list[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """A SQLite table's columns and constraints one by one: their order may differ."""
    return {(*row[:3], part.strip()) for row in found for part in row[3].replace(" , ", ",").split(", ")}


def test_a_migrated_database_is_in_every_detail_like_one_made_from_the_code(empty_url: str) -> None:
    _, migrated, _, made = written(empty_url, migrate.upgrade, everything, _from_the_code, everything)
    assert _lines(migrated) == _lines(made)


def test_a_schema_of_a_newer_version_is_refused_and_left_alone(database_url: str) -> None:
    def from_the_future(connection: Connection) -> None:
        connection.execute(text("update alembic_version set version_num = '9999'"))

    written(database_url, from_the_future)
    with pytest.raises(SchemaTooNew, match=f"schema 9999, this version knows up to {HEAD}; upgrade penstock") as caught:
        written(database_url, migrate.upgrade)
    assert caught.value.code == "schema_too_new"
    assert written(database_url, migrate.current) == ["9999"]


def test_an_upgrade_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    def in_the_way(connection: Connection) -> None:
        connection.execute(text("create table segments (mine integer)"))

    written(empty_url, in_the_way)
    with pytest.raises(StoreUnavailable, match="segments"):
        written(empty_url, migrate.upgrade)
    assert written(empty_url, tables) == [{"segments"}]


_CHILD = """
import asyncio, sys
from broker.store import migrate
from broker.store.engine import open_database

async def main():
    database = open_database(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    print(*await database.write(migrate.upgrade))
    await database.close()

asyncio.run(main())
"""


@pytest.fixture
def children(empty_postgres_url: str) -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that are ready to upgrade one empty database."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, empty_postgres_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(3)
    ]
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_processes_that_upgrade_an_empty_database_at_once_all_succeed(
    children: list["subprocess.Popen[str]"], empty_postgres_url: str
) -> None:
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    ended = [child.communicate(timeout=60) for child in children]
    assert [error for _, error in ended] == [""] * len(children)
    assert sorted(out for out, _ in ended) == [f"{HEAD} {HEAD}\n"] * (len(children) - 1) + [f"None {HEAD}\n"]
    assert written(empty_postgres_url, migrate.current) == [HEAD]

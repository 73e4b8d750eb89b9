"""A file becomes a batch, whole or not at all."""

import asyncio
import fcntl
import json
import os
import termios
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from broker.domain.batch import BatchState
from broker.domain.result import ResultState
from broker.errors import CallerError, StoreUnavailable
from broker.intake.accept import REFUSALS_PER_COMMIT, Accepted, IntakeRefused, accept
from broker.intake.segments import MAX_JOBS
from broker.intake.source import Source, digest
from broker.store import batches, manifest, results
from broker.store import tables as t
from broker.store.engine import open_database
from broker.store.finish import finish
from broker.store.manifest import NewBatch, SubmissionConflict
from broker.store.segment import read_segment, unpack_line
from broker.testing.builders import a_submission
from broker.testing.outages import FragileDatabase, eventually

ROUTES = frozenset({"a", "b"})


def a_line(custom_id: str, model: str = "a", **changes: Any) -> str:
    row = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps(row | {"body": {"model": model, "messages": [1]}} | changes)


def lines(count: int, model: str = "a") -> list[str]:
    return [a_line(f"row-{position}", model) for position in range(count)]


class Desk:
    """Where files are handed in; they differ in nothing but their content."""

    def __init__(self, database: FragileDatabase, folder: Path) -> None:
        self.database = database
        self.folder = folder

    async def hand_in(self, *rows: str, **options: Any) -> Accepted:
        path = self.folder / "jobs.jsonl"
        path.write_text("\n".join(rows), encoding="utf-8")
        source = Source(name="jobs.jsonl", path=path)
        new: NewBatch = options.pop("new", None) or a_submission("run:out", body_hash=digest(source))
        given: dict[str, Any] = {"routes": ROUTES, "scratch": self.folder} | options
        return await accept(self.database, source, new, **given)

    async def jobs(self, batch_id: int) -> dict[int, tuple[str, str]]:
        """What the manifest holds: position to name and route."""
        found = {}
        for row in await self.database.read(manifest.segment_rows, batch_id):
            for line in read_segment(await self.database.read(manifest.payload, batch_id, row.number)):
                job = unpack_line(line)
                assert job.position not in found
                found[job.position] = (job.custom_id, row.route)
        return found

    async def failed(self, batch_id: int) -> list[tuple[int, str | None, str | None]]:
        found = await self.database.read(results.after, batch_id, 0, 10_000)
        assert {result.state for result in found} <= {ResultState.FAILED}
        assert [result.seq for result in found] == list(range(1, len(found) + 1))
        return sorted((result.position, result.custom_id, result.error_code) for result in found)


@asynccontextmanager
async def a_desk(url: str, folder: Path) -> AsyncIterator[Desk]:
    database = FragileDatabase(open_database(url))
    try:
        yield Desk(database, folder)
    finally:
        await database.close()


def rows_left(connection: Connection) -> dict[str, int]:
    tables = (t.batches, t.segments, t.results, t.submissions, t.due)
    return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}


NOTHING = {"batches": 0, "segments": 0, "results": 0, "submissions": 0, "due": 0}


def test_every_row_of_a_good_file_is_in_the_manifest(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            accepted = await desk.hand_in(a_line("x", "a"), "", a_line("y", "b"), a_line("z", "a"))
            assert (accepted.state, accepted.known) == (BatchState.RUNNING, False)
            assert await desk.jobs(accepted.batch_id) == {0: ("x", "a"), 1: ("y", "b"), 2: ("z", "a")}
            batch = await desk.database.read(batches.get, accepted.batch_id)
            assert (batch.counts.total, batch.counts.finished) == (3, 0)
            assert batch.accepted_at is not None

    asyncio.run(run())


def test_a_large_file_comes_in_several_transactions_and_says_how_far_it_is(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            seen: list[int] = []
            count = 5 * MAX_JOBS + 7
            accepted = await desk.hand_in(*lines(count), progress=seen.append)
            assert len(await desk.jobs(accepted.batch_id)) == count
            assert seen == sorted(seen)
            assert seen[-1] == count
            assert desk.database.calls[manifest.add_segments] == 2

    asyncio.run(run())


@pytest.mark.parametrize("bad", ["nonsense", a_line("row-1"), a_line("x", "unknown"), a_line("x", method="GET")])
def test_one_bad_row_refuses_the_file_and_nothing_is_left(sqlite_url: str, tmp_path: Path, bad: str) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            with pytest.raises(
                IntakeRefused, match=r"1 of 5002 rows cannot be accepted; nothing was started"
            ) as refused:
                await desk.hand_in(*lines(5_001), bad)
            assert len(refused.value.problems) == 1
            assert refused.value.problems[0].startswith("line 5002: ")
            assert await desk.database.read(rows_left) == NOTHING

    asyncio.run(run())


def test_every_problem_is_told_not_only_the_first(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            with pytest.raises(IntakeRefused, match="3 of 4 rows") as refused:
                await desk.hand_in("nonsense", a_line("x"), a_line("x"), "{}")
            assert [problem.partition(":")[0] for problem in refused.value.problems] == ["line 1", "line 3", "line 4"]

    asyncio.run(run())


def test_a_refused_file_may_be_mended_and_handed_in_again(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            with pytest.raises(IntakeRefused):
                await desk.hand_in("nonsense")
            assert (await desk.hand_in(a_line("x"))).state is BatchState.RUNNING

    asyncio.run(run())


@pytest.mark.parametrize("lenient", [False, True])
def test_an_empty_file_is_refused_and_nothing_is_left(sqlite_url: str, tmp_path: Path, lenient: bool) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            with pytest.raises(CallerError, match="is empty"):
                await desk.hand_in("", "", lenient=lenient)
            assert await desk.database.read(rows_left) == NOTHING

    asyncio.run(run())


def test_a_folder_that_takes_no_notes_refuses_the_file_and_nothing_is_left(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            with pytest.raises(CallerError, match="no temporary file"):
                await desk.hand_in(a_line("x"), scratch=tmp_path / "not there")
            assert await desk.database.read(rows_left) == NOTHING

    asyncio.run(run())


def test_lenient_bad_rows_fail_under_their_own_names_and_the_others_run(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            rows = [a_line("x"), "", "nonsense", a_line("y", "unknown"), "", a_line("z", "b"), a_line("w", url="/v2")]
            accepted = await desk.hand_in(*rows, lenient=True)
            assert accepted.state is BatchState.RUNNING
            assert await desk.jobs(accepted.batch_id) == {0: ("x", "a"), 3: ("z", "b")}
            assert await desk.failed(accepted.batch_id) == [
                (1, None, "invalid_json"), (2, "y", "unknown_model"), (4, "w", "unknown_url"),
            ]  # fmt: skip
            batch = await desk.database.read(batches.get, accepted.batch_id)
            assert (batch.counts.total, batch.counts.failed) == (5, 3)

    asyncio.run(run())


def test_lenient_the_first_use_of_a_name_runs_and_later_ones_fail(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            accepted = await desk.hand_in(a_line("x"), a_line("y"), a_line("x"), a_line("x", "b"), lenient=True)
            wrong = [(position, "x", "duplicate_custom_id") for position in (2, 3)]
            assert await desk.failed(accepted.batch_id) == wrong
            assert (await desk.database.read(batches.get, accepted.batch_id)).counts.total == 4

    asyncio.run(run())


def test_lenient_a_file_of_bad_rows_is_a_batch_that_has_ended(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            accepted = await desk.hand_in("nonsense", "{}", lenient=True)
            assert (accepted.state, accepted.known) == (BatchState.COMPLETED, False)
            batch = await desk.database.read(batches.get, accepted.batch_id)
            assert (batch.state, batch.counts.failed) == (BatchState.COMPLETED, 2)
            assert batch.finished_at is not None
            assert await desk.jobs(accepted.batch_id) == {}

    asyncio.run(run())


def test_bad_rows_are_written_before_many_more_are_read(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            seen: list[int] = []
            accepted = await desk.hand_in(*["nonsense"] * 1_300, lenient=True, progress=seen.append)
            assert seen == [REFUSALS_PER_COMMIT, 2 * REFUSALS_PER_COMMIT, 1_300, 1_300]
            assert (await desk.database.read(batches.get, accepted.batch_id)).counts.failed == 1_300

    asyncio.run(run())


@pytest.mark.parametrize("state", [None, BatchState.PAUSED, BatchState.CANCELLING])
def test_the_same_submission_again_finds_its_batch(sqlite_url: str, tmp_path: Path, state: BatchState | None) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            first = await desk.hand_in(*lines(3))
            if state is not None:
                await desk.database.write(batches.move, first.batch_id, state)
            again = await desk.hand_in(*lines(3))
            assert again == Accepted(batch_id=first.batch_id, state=state or BatchState.RUNNING, known=True)
            assert (await desk.database.read(rows_left))["segments"] == 1

    asyncio.run(run())


def test_another_input_under_the_same_id_is_a_conflict_and_the_first_batch_stays(
    sqlite_url: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            first = await desk.hand_in(*lines(3))
            with pytest.raises(SubmissionConflict) as conflict:
                await desk.hand_in(*lines(4))
            assert conflict.value.batch_id == first.batch_id
            assert len(await desk.jobs(first.batch_id)) == 3

    asyncio.run(run())


def test_a_replacement_is_a_new_batch_and_the_old_one_keeps_its_results(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            old = await desk.hand_in(a_line("x"), "nonsense", lenient=True)
            new = await desk.hand_in(*lines(2), replace=True)
            assert (new.known, new.batch_id == old.batch_id) == (False, False)
            assert await desk.failed(old.batch_id) == [(1, None, "invalid_json")]
            assert (await desk.hand_in(*lines(2))).batch_id == new.batch_id

    asyncio.run(run())


async def cut_off(desk: Desk, operation: Callable[..., Any], time: int, *rows: str, **options: Any) -> None:
    """Hand a file in, and lose the database at the n-th call of this operation."""

    def away(called: Callable[..., Any]) -> None:
        if called is operation and desk.database.calls[operation] == time:
            desk.database.down = True
            raise StoreUnavailable("taken away by the test")

    desk.database.calls.clear()
    desk.database.before = away
    with pytest.raises(StoreUnavailable):
        await desk.hand_in(*rows, **options)
    desk.database.before = lambda _: None
    desk.database.down = False
    desk.database.calls.clear()


MANY = 9 * MAX_JOBS + 3


@pytest.mark.parametrize(
    ("operation", "time"), [(manifest.add_segments, 2), (manifest.add_segments, 3), (manifest.seal, 1)]
)
def test_an_intake_that_was_cut_off_goes_on_behind_what_is_stored(
    sqlite_url: str, tmp_path: Path, operation: Callable[..., Any], time: int
) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            rows = [a_line(f"row-{position}", "ab"[position % 3 == 0]) for position in range(MANY)]
            await cut_off(desk, operation, time, *rows)
            stored = (await desk.database.read(rows_left))["segments"]
            assert stored
            accepted = await desk.hand_in(*rows)
            assert not accepted.known
            found = await desk.jobs(accepted.batch_id)
            assert {position: name for position, (name, _) in found.items()} == {p: f"row-{p}" for p in range(MANY)}
            added = (await desk.database.read(rows_left))["segments"] - stored
            assert desk.database.calls[manifest.add_segments] <= added
            assert (await desk.database.read(batches.get, accepted.batch_id)).counts.total == MANY

    asyncio.run(run())


@pytest.mark.parametrize("time", [1, 2, 3])
def test_a_lenient_intake_that_was_cut_off_fails_each_bad_row_once(sqlite_url: str, tmp_path: Path, time: int) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            rows = ["nonsense" if position % 7 == 0 else a_line(f"row-{position}") for position in range(8_000)]
            rows += [a_line("row-1"), a_line("row-2")]
            await cut_off(desk, finish, time, *rows, lenient=True)
            accepted = await desk.hand_in(*rows, lenient=True)
            bad: list[tuple[int, str | None, str]] = [
                (position, None, "invalid_json") for position in range(0, 8_000, 7)
            ]
            bad += [(8_000, "row-1", "duplicate_custom_id"), (8_001, "row-2", "duplicate_custom_id")]
            assert await desk.failed(accepted.batch_id) == bad
            counts = (await desk.database.read(batches.get, accepted.batch_id)).counts
            assert (counts.total, counts.failed) == (8_002, len(bad))

    asyncio.run(run())


def test_a_strict_intake_that_was_cut_off_before_a_bad_row_is_refused_when_it_goes_on(
    sqlite_url: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            rows = [*lines(MANY), "nonsense"]
            await cut_off(desk, manifest.add_segments, 2, *rows)
            with pytest.raises(IntakeRefused):
                await desk.hand_in(*rows)
            assert await desk.database.read(rows_left) == NOTHING

    asyncio.run(run())


@pytest.mark.parametrize("routes", [frozenset({"a"}), frozenset({"b"})])
def test_rows_that_are_judged_differently_than_before_the_cut_begin_again(
    sqlite_url: str, tmp_path: Path, routes: frozenset[str]
) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            rows = [a_line(f"row-{position}", "ab"[position >= 5_000]) for position in range(MANY)]
            await cut_off(desk, manifest.seal, 1, *rows, lenient=True)
            with pytest.raises(CallerError, match="run the same command again"):
                await desk.hand_in(*rows, lenient=True, routes=routes)
            assert await desk.database.read(rows_left) == NOTHING
            accepted = await desk.hand_in(*rows, lenient=True, routes=routes)
            assert {route for _, route in (await desk.jobs(accepted.batch_id)).values()} == set(routes)

    asyncio.run(run())


def test_rows_of_another_route_than_before_the_cut_begin_again(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk:
            rows = [a_line(f"row-{position}", "ab"[position % 2]) for position in range(2_000)]
            await cut_off(desk, manifest.seal, 1, *rows, lenient=True, routes=frozenset({"a"}))
            with pytest.raises(CallerError, match="run the same command again"):
                await desk.hand_in(*rows, lenient=True, routes=frozenset({"b"}))
            assert await desk.database.read(rows_left) == NOTHING

    asyncio.run(run())


def test_who_stops_waiting_is_let_go_once_the_file_is_no_longer_read(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writing = os.open(path, os.O_RDWR)

    async def run() -> None:
        async with a_desk(sqlite_url, tmp_path) as desk, asyncio.timeout(60):
            source = Source(name="pipe", path=path)
            handing_in = asyncio.ensure_future(
                accept(desk.database, source, a_submission(), routes=ROUTES, scratch=tmp_path)
            )
            os.write(writing, a_line("x").encode() + b"\n")
            await eventually(lambda: not _waiting_to_be_read(writing))
            handing_in.cancel()
            await asyncio.sleep(0)
            assert not handing_in.done()
            os.close(writing)
            with pytest.raises(asyncio.CancelledError):
                await handing_in

    asyncio.run(run())


def _waiting_to_be_read(pipe: int) -> int:
    waiting = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0]

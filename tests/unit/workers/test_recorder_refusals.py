"""Reports that the database will never take: they are set aside, and cost nobody else anything."""

import asyncio
import stat
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from broker.domain.report import Conclusion, Part, Report
from broker.domain.result import ResultState
from broker.store import batches, results
from broker.store.tables import part_answers
from broker.testing.builders import a_report, a_usage
from broker.testing.outages import eventually
from tests.unit.workers.test_recorder import Rig, rigged
from workers.recorder import LINGER_S
from workers.recovery import replay_spools
from workers.spool import Spool, orphans

JOBS = 9


def unstorable(report: Report) -> Report:
    """More tokens than either database can count."""
    return replace(report, usage=replace(a_usage(), input_tokens=2**63))


def put(rig: Rig, bad: Collection[int]) -> None:
    for position in range(JOBS):
        report = a_report((rig.batch_id, position))
        rig.recorder.put_nowait(unstorable(report) if position in bad else report)


async def states(rig: Rig) -> dict[int, tuple[ResultState, str | None]]:
    found = await rig.database.read(results.after, rig.batch_id, 0, JOBS + 1)
    return {result.position: (result.state, result.error_code) for result in found}


def set_aside(folder: Path) -> list[Report]:
    """What people find in the file, read as a spool is."""
    (file,) = folder.glob("*.refused")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    copied = folder / "copy"
    copied.mkdir()
    (copied / "read.spool").write_bytes(file.read_bytes())
    (orphan,) = orphans(copied)
    try:
        return orphan.reports()
    finally:
        orphan.close(committed=True)


@pytest.mark.parametrize("bad", [{0}, {8}, {2, 7}, {3, 4}, set(range(JOBS))])
def test_what_is_refused_is_set_aside_and_all_others_of_its_flush_are_committed(
    sqlite_url: str, tmp_path: Path, bad: set[int]
) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, JOBS) as rig, rig.running():
            put(rig, bad)
            await rig.drained()
            await eventually(lambda: len(rig.recorder) == 0)
            good = dict.fromkeys(set(range(JOBS)) - bad, (ResultState.SUCCEEDED, None))
            assert await states(rig) == good | dict.fromkeys(bad, (ResultState.FAILED, "unrecordable"))
            assert {report.key.position: report for report in set_aside(rig.folder)} == {
                position: unstorable(a_report((rig.batch_id, position))) for position in bad
            }
            batch = await rig.database.read(batches.get, rig.batch_id)
            assert (batch.counts.succeeded, batch.counts.failed) == (JOBS - len(bad), len(bad))
            assert batch.usage.input_tokens == 10 * (JOBS - len(bad))

    asyncio.run(run())


def test_what_is_told_as_recorded_is_what_was_stored(sqlite_url: str, tmp_path: Path) -> None:
    """The worker forgets an open call, and watchers learn of the batch's end, by what they are told."""

    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, JOBS) as rig, rig.running():
            put(rig, {2, 7})
            await rig.drained()
            assert {report.key.position for report in rig.recorded} == set(range(JOBS))
            assert not any(isinstance(report.then, Conclusion) and _too_many(report) for report in rig.recorded)
            told = [row["position"] for plan in rig.plans for row in plan.results]
            assert sorted(told) == list(range(JOBS))
            assert [batch for plan in rig.plans for batch in plan.completed] == [rig.batch_id]

    asyncio.run(run())


def _too_many(report: Report) -> bool:
    return (report.usage.input_tokens or 0) >= 2**63


def test_a_part_of_an_answer_is_kept_without_what_cannot_be_stored_of_it(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 1) as rig, rig.running():
            part = a_report((rig.batch_id, 0), then=Part(number=0, body=b"first"))
            rig.recorder.put_nowait(unstorable(part))
            await rig.drained()
            await eventually(lambda: len(rig.recorder) == 0)
            kept = await rig.database.read(lambda connection: connection.execute(part_answers.select()).all())
            assert [(row.part, row.body) for row in kept] == [(0, b"first")]
            assert await states(rig) == {}
            assert [report.then for report in set_aside(rig.folder)] == [part.then]

    asyncio.run(run())


def test_what_not_even_its_substitute_gets_in_is_given_up_and_holds_up_nobody(sqlite_url: str, tmp_path: Path) -> None:
    """The job's own name cannot be stored: its attempt stays open, as after a death, and the others go on."""

    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 2) as rig, rig.running():
            hopeless = a_report((rig.batch_id, 0))
            assert isinstance(hopeless.then, Conclusion)
            rig.recorder.put_nowait(replace(hopeless, then=replace(hopeless.then, custom_id="row-\ud83d")))
            rig.put(1)
            await rig.drained()
            assert await rig.order() == [1]

    asyncio.run(run())


def test_a_spool_with_reports_that_are_refused_is_kept_beside_what_was_committed_of_it(
    sqlite_url: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 3) as rig:
            spool = Spool(rig.folder, "dead")
            reports = [a_report((rig.batch_id, position)) for position in range(3)]
            spool.append([reports[0], unstorable(reports[1]), reports[2]])
            spool.leave()
            await replay_spools(rig.database, rig.folder)
            assert await states(rig) == {
                0: (ResultState.SUCCEEDED, None),
                1: (ResultState.FAILED, "unrecordable"),
                2: (ResultState.SUCCEEDED, None),
            }
            assert rig.files() == ["dead.spool.damaged"]

    asyncio.run(run())


def test_two_flushes_set_their_refused_reports_aside_in_one_file(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 2) as rig, rig.running():
            for position in (0, 1):
                rig.recorder.put_nowait(unstorable(a_report((rig.batch_id, position))))
                await rig.pass_time(LINGER_S)
                await rig.drained()
            assert [report.key.position for report in set_aside(rig.folder)] == [0, 1]

    asyncio.run(run())

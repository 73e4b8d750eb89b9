import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from broker.delivery.files import Export, Order, OutputFiles, OutputNotWritten, replacing
from broker.delivery.result_lines import holds_results
from broker.domain.attempt import AttemptState
from broker.domain.form import BatchForm
from broker.domain.job import JobKey
from broker.errors import CallerError
from broker.store import workers
from broker.store.claim import Claimant, claim
from broker.store.engine import Database, open_database
from broker.store.record import record
from broker.testing.builders import ACCOUNT, PROVIDER, a_batch, a_claim, a_failure, a_report

JOBS = 5
CLAIMANT = Claimant(worker_id="w", account=ACCOUNT, provider=PROVIDER)


async def batch_in(database: Database) -> int:
    await database.write(workers.register, "w", ACCOUNT)
    return await database.write(a_batch, JOBS)


async def answered(database: Database, batch_id: int, positions: Sequence[int], *, failed: bool = False) -> None:
    keys = [JobKey(batch_id, position) for position in positions]
    await database.write(claim, CLAIMANT, [a_claim(key) for key in keys])
    state = AttemptState.FAILED if failed else AttemptState.OK
    reports = [a_report(key, state=state, then=a_failure(key) if failed else None) for key in keys]
    await database.write(record, reports)


def names(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_text().splitlines()]


def test_results_go_to_their_files_in_the_order_they_came(sqlite_url: str, tmp_path: Path) -> None:
    output, errors = tmp_path / "new" / "out.jsonl", tmp_path / "err.jsonl"

    async def scenario() -> None:
        database = open_database(sqlite_url)
        batch_id = await batch_in(database)
        files = OutputFiles(output, errors)
        files.check({Path("jobs.jsonl"): "the input"})
        with files:
            export = Export(database, batch_id, files, Order.COMPLETION, BatchForm.OPENAI)
            await answered(database, batch_id, [3, 1])
            await export.catch_up()
            assert names(output) == ["row-3", "row-1"]
            await answered(database, batch_id, [0, 4], failed=True)
            await export.catch_up()
            await export.catch_up()
        assert (names(output), names(errors)) == (["row-3", "row-1"], ["row-0", "row-4"])
        assert (export.written, dict(export.error_codes)) == (4, {"server_error": 2})
        await database.close()

    asyncio.run(scenario())


def test_without_an_error_file_all_goes_to_the_output(sqlite_url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        database = open_database(sqlite_url)
        batch_id = await batch_in(database)
        await answered(database, batch_id, [2])
        await answered(database, batch_id, [0], failed=True)
        with OutputFiles(tmp_path / "out.jsonl", None) as files:
            await Export(database, batch_id, files, Order.COMPLETION, BatchForm.OPENAI).catch_up()
        assert names(tmp_path / "out.jsonl") == ["row-2", "row-0"]
        await database.close()

    asyncio.run(scenario())


def test_input_order_grows_by_its_contiguous_prefix(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    async def scenario() -> None:
        database = open_database(sqlite_url)
        batch_id = await batch_in(database)
        with OutputFiles(path, None) as files:
            export = Export(database, batch_id, files, Order.INPUT, BatchForm.OPENAI)
            for positions, shown in (([1, 3], 0), ([0], 2), ([4], 2), ([2], 5)):
                await answered(database, batch_id, positions)
                await export.catch_up()
                assert names(path) == [f"row-{position}" for position in range(shown)]
        await database.close()

    asyncio.run(scenario())


def test_following_stops_at_once_and_never_writes_a_row_twice(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    async def scenario() -> None:
        database = open_database(sqlite_url)
        batch_id = await batch_in(database)
        over = asyncio.Event()
        with OutputFiles(path, None) as files:
            export = Export(database, batch_id, files, Order.COMPLETION, BatchForm.OPENAI)
            async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
                tasks.create_task(export.follow(over))
                await answered(database, batch_id, [0, 1])
                over.set()
            await export.catch_up()
        assert names(path) == ["row-0", "row-1"]
        await database.close()

    asyncio.run(scenario())


def test_a_full_disk_is_told_once_and_as_what_it_is(sqlite_url: str) -> None:
    async def scenario() -> None:
        database = open_database(sqlite_url)
        batch_id = await batch_in(database)
        await answered(database, batch_id, [0])
        told = pytest.raises(OutputNotWritten, match="/dev/full cannot be written: No space left")
        with OutputFiles(Path("/dev/full"), None) as files, told:
            await Export(database, batch_id, files, Order.COMPLETION, BatchForm.OPENAI).catch_up()
        await database.close()

    asyncio.run(scenario())


def test_a_file_is_emptied_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"id":"batch_req_1_0"}\n{"id":"batch_re')
    with OutputFiles(path, None):
        assert path.read_text() == ""


@pytest.mark.parametrize(
    ("content", "ours"),
    [(b"", True), (b'{"id":"bat', True), (b'{"id":"batch_req_1_2","custom_id":', True), (b"hello\n", False)],
)
def test_only_a_file_of_results_is_ours(tmp_path: Path, content: bytes, ours: bool) -> None:
    path = tmp_path / "file"
    assert holds_results(path)
    path.write_bytes(content)
    assert holds_results(path) is ours
    assert OutputFiles(tmp_path / "out.jsonl", path).foreign() == (None if ours else path)
    assert OutputFiles(tmp_path / "out.jsonl", path).occupied() == (path if content else None)


def test_what_cannot_be_a_file_is_told_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "file" / "out.jsonl", "is no folder")):
        with pytest.raises(CallerError, match=words):
            OutputFiles(path, None).check({})
    assert not (tmp_path / "out.jsonl").exists()


def test_no_file_serves_two_ends(tmp_path: Path) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    one.touch()
    link.symlink_to(one)
    for output, errors, source in ((one, None, link), (two, one, link), (one, link, two)):
        with pytest.raises(CallerError, match="are the same file"):
            OutputFiles(output, errors).check({source: "the input"})
    OutputFiles(one, two).check({})


def test_a_file_is_replaced_when_it_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_text("before")
    link.symlink_to(path)

    def broken_off() -> None:
        with replacing(link) as file:
            file.write(b"half")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        broken_off()
    assert path.read_text() == "before"
    with replacing(link) as file:
        file.write(b"after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [path, link]
    with replacing(Path("/dev/null")) as file:
        file.write(b"nothing")

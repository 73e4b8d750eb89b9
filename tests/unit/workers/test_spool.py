"""Paid answers on disk."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from broker.domain.attempt import AttemptState
from broker.domain.job import JobKey
from broker.domain.loss import Loss, LossClass
from broker.domain.report import Again, Part, Report
from broker.testing.builders import a_failure, a_report, an_answer
from workers.spool import Orphan, Spool, orphans

KEY = JobKey(3, 5)
LOST = (
    Loss(code="clamped", path="/temperature", detail="1.0 at most", loss_class=LossClass.SAMPLING),
    Loss(code="unknown_field", path="/\ud83d", detail="half a key", loss_class=LossClass.HINT),
)
REPORTS = [
    a_report((1, 0), cost=Decimal("0.1234567891")),
    a_report((1, 1), state=AttemptState.UNKNOWN, then=Again(in_s=1.5, why="outcome_unknown")),
    a_report((2, 0), 3, state=AttemptState.FAILED, then=a_failure(JobKey(2, 0)), message='é " \\ \u2028'),
    a_report(KEY, then=an_answer(KEY, b"\x00\xff\n{}")),
    replace(a_report((4, 0), state=AttemptState.REFUSED), then=None, sent_at=None, request_id=None),
    a_report((5, 0), then=Part(number=0, body=b"\x00\xff\n{}")),
    a_report((5, 1), then=replace(an_answer(KEY), warnings=LOST, parts=2)),
    a_report((6, 0), then=replace(an_answer(KEY), custom_id="half \ud83d"), message="of a pair \udc00"),
]


def spooled(directory: Path, *reports: Report, name: str = "dead") -> Path:
    """What a process leaves that is gone."""
    spool = Spool(directory, name)
    spool.append(reports)
    spool.leave()
    return directory / f"{name}.spool"


def held(directory: Path) -> list[Report]:
    found = []
    for orphan in orphans(directory):
        found.extend(orphan.reports())
        orphan.close(committed=False)
    return found


def the_orphan(directory: Path) -> Orphan:
    (orphan,) = orphans(directory)
    return orphan


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the disk be full, as far as this process can tell."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_reports_come_back_as_they_were(tmp_path: Path) -> None:
    spooled(tmp_path, *REPORTS)
    found = held(tmp_path)
    assert found == REPORTS
    assert [type(report.key) for report in found] == [JobKey] * len(REPORTS)


def test_file_and_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = spooled(tmp_path / "spool", REPORTS[0])
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", "p")
    assert not spool.in_use
    spool.clear()
    spool.leave()
    assert not (tmp_path / "spool").exists()
    assert held(tmp_path / "spool") == []


def test_it_grows_until_it_is_cleared(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p")
    spool.append(REPORTS[:2])
    spool.append(REPORTS[2:])
    assert spool.in_use
    spool.leave()
    assert held(tmp_path) == REPORTS
    spool = Spool(tmp_path, "q")
    spool.append(REPORTS[:1])
    spool.clear()
    assert not spool.in_use
    assert [path.name for path in tmp_path.iterdir()] == ["p.spool"]
    spool.append(REPORTS[1:2])
    spool.leave()
    assert len(held(tmp_path)) == len(REPORTS) + 1


def test_what_a_living_process_writes_is_no_orphan(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "alive")
    spool.append(REPORTS)
    assert list(orphans(tmp_path)) == []
    spool.leave()


def test_what_a_killed_process_wrote_is_an_orphan(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, time\n"
        "from broker.testing.builders import a_report\n"
        "from workers.spool import Spool\n"
        "Spool(pathlib.Path(sys.argv[1]), 'killed').append([a_report((1, 0))])\n"
        "print('written', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        assert list(orphans(tmp_path)) == []
        process.kill()
    assert [report.key for report in held(tmp_path)] == [JobKey(1, 0)]


def test_an_orphan_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    spooled(tmp_path, *REPORTS)
    orphan = the_orphan(tmp_path)
    assert list(orphans(tmp_path)) == []
    orphan.close(committed=False)
    assert held(tmp_path) == REPORTS


def test_an_orphan_is_removed_once_it_is_committed(tmp_path: Path) -> None:
    spooled(tmp_path, *REPORTS)
    orphan = the_orphan(tmp_path)
    orphan.reports()
    orphan.close(committed=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_torn_last_line_is_ignored(tmp_path: Path, cut: int) -> None:
    path = spooled(tmp_path, *REPORTS)
    os.truncate(path, path.stat().st_size - cut)
    assert held(tmp_path) == REPORTS[:-1]
    the_orphan(tmp_path).close(committed=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"\x00" * 50, b"{}", b"[1]", b'{"key":[1,2]}', b'{"then":{"body":3}}', b"\xff"])
def test_a_damaged_line_costs_only_itself_and_the_file_is_put_aside(tmp_path: Path, damage: bytes) -> None:
    path = spooled(tmp_path, *REPORTS[:2])
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage + b"\n" + second)
    orphan = the_orphan(tmp_path)
    assert orphan.reports() == REPORTS[:2]
    orphan.close(committed=True)
    assert [left.name for left in tmp_path.iterdir()] == ["dead.spool.damaged"]
    assert held(tmp_path) == []


def test_orphans_come_oldest_first(tmp_path: Path) -> None:
    for name, report, written_at in (("b", REPORTS[0], 100), ("a", REPORTS[1], 300), ("c", REPORTS[2], 200)):
        os.utime(spooled(tmp_path, report, name=name), (written_at, written_at))
    assert held(tmp_path) == [REPORTS[0], REPORTS[2], REPORTS[1]]


def test_an_orphan_that_somebody_else_replayed_meanwhile_is_passed_over(tmp_path: Path) -> None:
    os.utime(spooled(tmp_path, REPORTS[0], name="a"), (100, 100))
    spooled(tmp_path, REPORTS[1], name="b")
    left = orphans(tmp_path)
    next(left).close(committed=False)
    (tmp_path / "b.spool").unlink()
    assert list(left) == []


def test_a_write_that_fails_keeps_what_is_there_and_leaves_nothing_half(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "p")
    spool.append(REPORTS[:1])
    size = (tmp_path / "p.spool").stat().st_size
    with files_of_at_most(size + 100), pytest.raises(OSError, match="large"):
        spool.append(REPORTS[1:3])
    assert (tmp_path / "p.spool").stat().st_size == size + 100
    spool.append(REPORTS[3:])
    spool.leave()
    assert held(tmp_path) == [REPORTS[0], *REPORTS[3:]]


def test_a_folder_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    spool = Spool(tmp_path / "spool", "p")
    with pytest.raises(OSError, match="exists"):
        spool.append(REPORTS)
    assert not spool.in_use
    (tmp_path / "spool").unlink()
    spool.append(REPORTS)
    spool.leave()
    assert held(tmp_path / "spool") == REPORTS


def test_a_file_taken_for_an_orphan_before_it_was_locked_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "p.spool"
    thief = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(thief, fcntl.LOCK_EX)
    spool = Spool(tmp_path, "p")
    writing = threading.Thread(target=spool.append, args=(REPORTS,))
    writing.start()
    while _times_open(path) < 2:
        writing.join(0.001)
    path.unlink()
    os.close(thief)
    writing.join(10)
    spool.leave()
    assert held(tmp_path) == REPORTS


def _times_open(path: Path) -> int:
    links = Path("/proc/self/fd").iterdir()
    return sum(link.exists() and link.resolve() == path for link in links)

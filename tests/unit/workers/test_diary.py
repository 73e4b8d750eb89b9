"""What has arrived and is not committed outlives the process, and nothing else does."""

from collections.abc import Sequence
from pathlib import Path

from broker.domain.report import Report
from broker.testing.builders import a_report
from workers.diary import Diary
from workers.spool import orphans


def noted(positions: Sequence[int]) -> list[Report]:
    return [a_report((1, position)) for position in positions]


def left(folder: Path) -> list[int]:
    """The positions that a successor finds."""
    found = []
    for orphan in orphans(folder):
        found += [report.key.position for report in orphan.reports()]
        orphan.close(committed=False)
    return found


def files(folder: Path) -> list[int]:
    return [path.stat().st_size for path in sorted(folder.glob("*.spool"))]


def test_what_is_not_committed_is_left_to_a_successor(tmp_path: Path) -> None:
    diary = Diary(tmp_path, "p")
    diary.note(noted([1, 2]))
    diary.note(noted([3]))
    diary.committed(2)
    assert left(tmp_path) == []  # its process lives
    diary.close()
    assert set(left(tmp_path)) >= {3}


def test_when_all_is_committed_nothing_is_kept_and_nothing_is_left(tmp_path: Path) -> None:
    diary = Diary(tmp_path, "p")
    diary.note(noted([1, 2]))
    diary.committed(2)
    assert files(tmp_path) == [0]
    diary.note(noted([3]))
    (size,) = files(tmp_path)
    assert size > 0
    diary.committed(1)
    diary.close()
    assert files(tmp_path) == []


def test_a_process_that_is_never_idle_does_not_fill_the_disk(tmp_path: Path) -> None:
    diary = Diary(tmp_path, "p", largest=1_000)
    diary.note(noted(range(10)))
    for position in range(10, 200):  # ten are always under way
        diary.note(noted([position]))
        diary.committed(1)
        assert sum(files(tmp_path)) < 20_000
    diary.close()
    assert set(left(tmp_path)) >= set(range(190, 200))


def test_a_diary_that_was_never_written_leaves_no_folder(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "spool", "p")
    diary.committed(3)
    diary.close()
    assert not (tmp_path / "spool").exists()

import hashlib
import io
import os
import threading
from pathlib import Path

import pytest

from broker.errors import CallerError
from broker.intake.source import HEAD_BYTES, MAX_LINE_BYTES, Line, Source, digest, open_lines, opened_source


def lines_of(path: Path) -> list[Line]:
    with open_lines(Source(name=path.name, path=path)) as lines:
        return list(lines)


def written(directory: Path, content: bytes) -> Path:
    path = directory / "jobs.jsonl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\n", []),
        (b" \t\r\n\r\n", []),
        (b"a\nb\n", [(1, b"a"), (2, b"b")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"a\r\nb\r\n", [(1, b"a"), (2, b"b")]),
        (b"\n  a \n\n\nb\n\n", [(2, b"a"), (5, b"b")]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", [(1, b"a"), (2, b"\xef\xbb\xbfb")]),
        (b"\xef\xbb\xbf\r\na", [(2, b"a")]),
        (b"\xef\xbb\xbf", []),
    ],
)
def test_lines_keep_their_numbers_and_lose_breaks_marks_and_blanks(
    tmp_path: Path, content: bytes, expected: list[tuple[int, bytes]]
) -> None:
    assert lines_of(written(tmp_path, content)) == [Line(number, line, True) for number, line in expected]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_of_exactly_the_cap_is_whole(tmp_path: Path, end: bytes) -> None:
    longest = b"x" * MAX_LINE_BYTES
    read = lines_of(written(tmp_path, b"\xef\xbb\xbf" + longest + end))
    assert [(line.number, len(line.content), line.whole) for line in read] == [(1, MAX_LINE_BYTES, True)]


@pytest.mark.parametrize("over", [1, 4, 5, 6, 3_000_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_longer_line_is_cut_and_reading_goes_on_behind_it(tmp_path: Path, over: int, end: bytes) -> None:
    content = b"a\n" + b"x" * (MAX_LINE_BYTES + over) + end + (b"b\n" if end else b"")
    assert lines_of(written(tmp_path, content)) == [
        Line(1, b"a", True),
        Line(2, b"x" * HEAD_BYTES, False),
        *([Line(3, b"b", True)] if end else []),
    ]


def test_white_space_beyond_the_cap_does_not_make_a_line_too_long(tmp_path: Path) -> None:
    content = b"a" + b" " * (MAX_LINE_BYTES + 2_000_000) + b"\n" + b" " * (MAX_LINE_BYTES + 2_000_000) + b"\nb"
    assert lines_of(written(tmp_path, content)) == [Line(1, b"a", True), Line(3, b"b", True)]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(CallerError, match=r"jobs\.jsonl is UTF-16; save it as UTF-8"):
        lines_of(written(tmp_path, "\ufeff{}\n".encode(encoding)))


def test_the_digest_is_that_of_the_file_as_given(tmp_path: Path) -> None:
    content = b"\x1f\x8b not even a whole archive\r\n"
    path = written(tmp_path, content)
    assert digest(Source(name="jobs.jsonl", path=path)) == hashlib.sha256(content).hexdigest()


def test_standard_input_can_be_read_twice_and_its_copy_goes(tmp_path: Path) -> None:
    given = io.BytesIO(b"a\nb\n")
    with opened_source("-", directory=tmp_path, standard_input=given) as source:
        assert source.name == "standard input"
        assert digest(source) == hashlib.sha256(b"a\nb\n").hexdigest()
        assert [line.content for line in lines_of(source.path)] == [b"a", b"b"]
        assert source.path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_the_copy_goes_when_the_reader_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="stopped"),
        opened_source("-", directory=tmp_path, standard_input=io.BytesIO(b"a")),
    ):
        raise RuntimeError("stopped")
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_copied_like_standard_input(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    copies = tmp_path / "copies"
    copies.mkdir()
    writer = threading.Thread(target=pipe.write_bytes, args=(b"a\nb\n",))
    writer.start()
    with opened_source(str(pipe), directory=copies, standard_input=io.BytesIO()) as source:
        writer.join()
        assert source.name == str(pipe)
        assert [line.content for line in lines_of(source.path)] == [b"a", b"b"]
        assert [line.content for line in lines_of(source.path)] == [b"a", b"b"]
    assert list(copies.iterdir()) == []


def test_a_plain_file_is_read_where_it_lies(tmp_path: Path) -> None:
    path = written(tmp_path, b"a\n")
    with opened_source(str(path), directory=tmp_path, standard_input=io.BytesIO()) as source:
        assert source == Source(name=str(path), path=path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jsonl", r"missing\.jsonl does not exist; check the path"),
        (".", r"is a folder; name one batch file in it"),
        ("x" * 5000, r"cannot be opened: .*; check the path"),
        ("nul\0.jsonl", r"cannot be opened: .*null.*; check the path"),
        ("loop", r"loop cannot be opened: .*; check the path"),
        ("file/child.jsonl", r"child\.jsonl cannot be opened: .*; check the path"),
    ],
)
def test_a_path_that_cannot_be_read_is_explained(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(CallerError, match=message),
        opened_source(f"{tmp_path}/{name}", directory=tmp_path, standard_input=io.BytesIO()),
    ):
        pass


def test_a_file_that_may_not_be_read_is_explained(tmp_path: Path) -> None:
    path = written(tmp_path, b"{}\n")
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        with (
            pytest.raises(CallerError, match=r"may not be read by this user; change its permissions"),
            opened_source(str(path), directory=tmp_path, standard_input=io.BytesIO()),
        ):
            pass
    else:  # An administrator may read everything: then it has to work.
        assert lines_of(path) == [Line(1, b"{}", True)]


def test_a_file_that_fails_while_it_is_read_is_explained(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with (
        pytest.raises(CallerError, match=r"standard input cannot be copied to .*: Input/output error"),
        opened_source("-", directory=tmp_path, standard_input=Failing()),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_copies_that_does_not_exist_is_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(
            CallerError, match=r"cannot be copied to .*nowhere: No such file or directory; name another folder"
        ),
        opened_source("-", directory=tmp_path / "nowhere", standard_input=io.BytesIO(b"a")),
    ):
        pass

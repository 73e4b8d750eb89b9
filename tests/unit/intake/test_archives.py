import gzip
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from broker.errors import CallerError
from broker.intake.source import HEAD_BYTES, Source, open_lines

TEXT = b"".join(b'{"row":%d,"hash":"%x"}\n' % (i, hash((i, 7)) & 0xFFFFFFFFFFFF) for i in range(20_000))


def lines_of(path: Path) -> list[bytes]:
    with open_lines(Source(name=path.name, path=path)) as lines:
        return [line.content for line in lines]


def written(directory: Path, name: str, content: bytes) -> Path:
    path = directory / name
    path.write_bytes(content)
    return path


def zstd(text: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(text)


def scribbled(archive: bytes) -> bytes:
    return archive[:5_000] + b"\xa5" * 400 + archive[5_400:]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(TEXT)),
        ("magic-only", gzip.compress(TEXT)),
        ("members.gz", gzip.compress(TEXT[:999]) + gzip.compress(b"") + gzip.compress(TEXT[999:])),
        ("padded.gz", gzip.compress(TEXT) + b"\0" * 100_000),
        ("a.jsonl.zst", zstd(TEXT)),
        ("magic-only-zst", zstd(TEXT)),
        ("frames.zst", zstd(TEXT[:999]) + zstd(b"") + zstd(TEXT[999:])),
        ("skippable.zst", b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd(TEXT)),
        ("no-size.zst", zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compress(TEXT)),
    ],
)
def test_archives_are_read_to_their_end(tmp_path: Path, name: str, content: bytes) -> None:
    assert lines_of(written(tmp_path, name, content)) == TEXT.splitlines()


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("cut", [5, 9, 2_000, -9, -1])
def test_a_cut_archive_is_an_error_that_names_the_file(tmp_path: Path, suffix: str, cut: int) -> None:
    whole = gzip.compress(TEXT) if suffix == "gz" else zstd(TEXT)
    path = written(tmp_path, f"jobs.jsonl.{suffix}", whole[:cut])
    with pytest.raises(CallerError, match=rf"jobs\.jsonl\.{suffix} is cut off: .* copy it again"):
        lines_of(path)


def test_a_cut_second_member_is_seen(tmp_path: Path) -> None:
    path = written(tmp_path, "two.gz", gzip.compress(b"{}\n") + gzip.compress(TEXT)[:50])
    with pytest.raises(CallerError, match=r"two\.gz is cut off"):
        lines_of(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bad.gz", scribbled(gzip.compress(TEXT))),
        ("crc.gz", gzip.compress(TEXT)[:-8] + b"12345678"),
        ("trailing.gz", gzip.compress(TEXT) + b"garbage"),
        ("bad.zst", scribbled(zstandard.ZstdCompressor(write_checksum=True).compress(TEXT))),
        ("trailing.zst", zstd(TEXT) + b"garbage"),
    ],
)
def test_a_damaged_archive_is_an_error_that_names_the_file(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(CallerError, match=f"{name} is a damaged"):
        lines_of(written(tmp_path, name, content))


@pytest.mark.parametrize("name", ["jobs.gz", "jobs.zst"])
def test_a_suffix_that_promises_an_archive_is_held_to_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(CallerError, match=f"{name} ends in .* but is no .* archive; .*rename"):
        lines_of(written(tmp_path, name, b'{"custom_id":"a"}\n'))


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_bomb_is_unpacked_in_bounded_memory(tmp_path: Path, suffix: str) -> None:
    content = gzip.compress(b"x" * 200_000_000, 1) if suffix == "gz" else zstd(b"x" * 200_000_000) * 2
    path = written(tmp_path, f"bomb.{suffix}", content)
    tracemalloc.start()
    try:
        assert lines_of(path) == [b"x" * HEAD_BYTES]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * 1024 * 1024

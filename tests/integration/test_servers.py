"""How tests get their servers: in which order, private processes, and the error when there is none."""

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from tests.servers import debian, postgres
from tests.servers.finding import NoServer, Unavailable, Way, obtain
from tests.servers.sharing import shared


def _way(label: str, answer: str | None) -> Way:
    def ask(_stack: ExitStack) -> str:
        if answer is None:
            raise Unavailable(f"{label} is not there")
        return answer

    return Way(label=label, obtain=ask)


def test_the_first_way_that_works_is_taken() -> None:
    ways = [_way("a", None), _way("b", "url-b"), _way("c", "url-c")]
    assert obtain("PostgreSQL", ways, ExitStack()) == "url-b"


def test_an_absent_server_is_an_error_that_names_every_way() -> None:
    with pytest.raises(NoServer) as missing:
        obtain("PostgreSQL", [_way("a", None), _way("b", None)], ExitStack())
    assert "need PostgreSQL" in str(missing.value)
    assert "a: a is not there" in str(missing.value)
    assert "b: b is not there" in str(missing.value)


def test_a_url_in_the_environment_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(postgres.VARIABLE, "postgresql://postgres@127.0.0.1:1/postgres")
    with pytest.raises(NoServer, match=postgres.VARIABLE):
        obtain("PostgreSQL", postgres.ways(), ExitStack())


def test_a_private_server_answers_and_is_gone_afterwards() -> None:
    async def version(url: str) -> str:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            answer: str = await connection.fetchval("select version()")
            return answer
        finally:
            await connection.close()

    with ExitStack() as stack:
        if not debian.may_install():
            with pytest.raises(Unavailable, match="needs root on Debian"):
                postgres.debian_process(stack)
            return
        url = postgres.debian_process(stack)
        assert asyncio.run(version(url)).startswith("PostgreSQL")
    with pytest.raises(OSError, match="Connect call failed"):
        asyncio.run(version(url))


def test_every_test_has_a_database_of_its_own(postgres_url: str, sqlite_url: str) -> None:
    async def tables(url: str) -> int:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return int(await connection.fetchval("select count(*) from batches"))
        finally:
            await connection.close()

    assert asyncio.run(tables(postgres_url)) == 0
    assert Path(sqlite_url.removeprefix("sqlite:///")).exists()


_SHARER = """
import sys, pathlib
from tests.servers.sharing import shared
folder = pathlib.Path(sys.argv[1])

def start(stack):
    with (folder / "log").open("a") as log:
        log.write("start ")
    stack.callback(lambda: (folder / "log").open("a").write("stop "))
    return {"server": "there"}

with shared(folder, "thing", start) as facts:
    print(facts["server"], flush=True)
    sys.stdin.readline()
"""


def test_the_process_that_started_a_server_stops_it_after_the_last_user(tmp_path: Path) -> None:
    def process() -> subprocess.Popen[str]:
        started = subprocess.Popen(
            [sys.executable, "-c", _SHARER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert started.stdout is not None
        assert started.stdout.readline() == "there\n"
        return started

    first, second = process(), process()
    with first, second:
        assert first.stdin is not None
        assert second.stdin is not None
        first.stdin.write("go\n")
        first.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(0.5)  # it is waiting for the second
        assert (tmp_path / "log").read_text() == "start "
        second.stdin.write("go\n")
        second.stdin.flush()
        assert second.wait(20) == 0
        assert first.wait(20) == 0
    assert (tmp_path / "log").read_text() == "start stop "


def test_a_server_is_started_again_after_it_was_stopped(tmp_path: Path) -> None:
    starts: list[int] = []

    def start(_stack: ExitStack) -> dict[str, str]:
        starts.append(1)
        return {"server": str(len(starts))}

    with shared(tmp_path, "thing", start) as facts:
        assert facts == {"server": "1"}
    with shared(tmp_path, "thing", start) as facts:
        assert facts == {"server": "2"}

"""Real inference servers with the tiny model, on a free port of loopback, for as long as a block runs."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, assert_never

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-real"
MODEL = "tiny"
SLOTS = 4
CONTEXT = 512
"""Tokens of prompt and answer together, in each slot."""
_START_S = 60.0
_STOP_S = 20.0


class Kind(Enum):
    """A server program."""

    LLAMA_SERVER = "llama-server"
    """llama.cpp's own."""
    PYTHON = "llama_cpp.server"
    """The one of llama-cpp-python, which answers one call at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that runs, and direct calls to it."""

    kind: Kind
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What an account is configured with."""
        return f"{self.url}/v1"

    def ask(self, body: Mapping[str, Any], path: str = "/v1/chat/completions") -> dict[str, Any]:
        """Call it without Penstock; raises `HTTPError` unless it answers with a success."""
        answer: dict[str, Any] = json.loads(self._call(path, json.dumps(body).encode()))
        return answer

    def look(self, path: str) -> dict[str, Any]:
        """Read one of its own pages."""
        page: dict[str, Any] = json.loads(self._call(path))
        return page

    def answers(self) -> bool:
        try:
            self._call("/v1/models")
        except urllib.error.HTTPError as refused:
            return refused.code == 401
        except OSError:
            return False
        return True

    def _call(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # loopback
            page: bytes = response.read()
        return page


@contextmanager
def running(kind: Kind, model: Path, *, embeddings: bool = False, key: str = "", port: int = 0) -> Iterator[Server]:
    """Run a server until the block ends; `port` 0 takes a free one. Raises `AssertionError` when it does not start."""
    port = port or _free_port()
    log = model.with_name(f"{kind.value}-{port}.log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            _command(kind, model, port, embeddings=embeddings, key=key),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        )
    try:
        server = Server(kind=kind, port=port, pid=process.pid)
        deadline = time.monotonic() + _START_S
        while not server.answers():
            assert process.poll() is None, f"{kind.value} ended before it answered:\n{log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{kind.value} did not answer:\n{log.read_text()[-3000:]}"
            time.sleep(0.05)
        yield server
    finally:
        _end(process)


def _command(kind: Kind, model: Path, port: int, *, embeddings: bool, key: str) -> Sequence[str | Path]:
    programs = ENVIRONMENT / "bin"
    listen = ["--host", "127.0.0.1", "--port", str(port)]
    match kind:
        case Kind.LLAMA_SERVER:
            return [
                _installed("bin/llama-server"), "--model", model, "--alias", MODEL, *listen, "--threads", "1",
                "--ctx-size", str(CONTEXT * SLOTS), "--parallel", str(SLOTS),
                *(["--embeddings", "--pooling", "mean"] if embeddings else []),
                *(["--api-key", key] if key else []),
            ]  # fmt: skip
        case Kind.PYTHON:
            return [
                programs / "python", "-m", "llama_cpp.server", "--model", model, "--model_alias", MODEL, *listen,
                "--n_threads", "1", "--n_ctx", str(CONTEXT),
                *(["--embedding", "true"] if embeddings else []),
                *(["--api_key", key] if key else []),
            ]  # fmt: skip
        case _:
            assert_never(kind)


def _installed(path: str) -> Path:
    found = list(ENVIRONMENT.glob(f"lib/python3.*/site-packages/{path}"))
    assert len(found) == 1, f"{path} is not in .venv-real; `make test-real` builds it"
    return found[0]


def _environment() -> Mapping[str, str]:
    libraries = _installed("bin/llama-server").parents[1] / "lib"
    return {**os.environ, "LD_LIBRARY_PATH": str(libraries)}  # noqa: TID251  # handed on to the server


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

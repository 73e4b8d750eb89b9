"""A folder of a user for each real server; the servers are started once, when first asked for."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.real.draining import Drained
from tests.real.servers import ENVIRONMENT, Kind, Server, running

Started = Callable[..., Server]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a model that was just made."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    python = ENVIRONMENT / "bin/python"
    assert python.exists(), "no .venv-real; `make test-real` makes it"
    subprocess.run([python, Path(__file__).with_name("tiny_model.py"), path], check=True, timeout=60)
    return path


@pytest.fixture(scope="session")
def started(tiny_model: Path) -> Iterator[Started]:
    """Give servers that the tests of this run share."""
    with ExitStack() as stack:
        yield cache(lambda kind, **more: stack.enter_context(running(kind, tiny_model, **more)))


@pytest.fixture(params=list(Kind), ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Give each kind of server in turn."""
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def server(kind: Kind, started: Started) -> Server:
    return started(kind)


@pytest.fixture
def drained(tmp_path: Path) -> Drained:
    return Drained(tmp_path)

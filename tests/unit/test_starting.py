"""A process of a fleet that is started: what it refuses at once, and what it waits for only until it is stopped."""

import asyncio
import logging
from pathlib import Path

import pytest

from broker.errors import ConfigError
from broker.settings import Settings, load
from broker.testing.outages import eventually
from broker.wiring.serve import Role, Serve
from broker.wiring.servers import url_of
from broker.wiring.worker import WorkerProcess

NOBODY = "127.0.0.1:1"
"""Where no server listens."""
PASSWORD = "swordfish"


def settings(folder: Path, **urls: str) -> Settings:
    """A pool of one account, with these servers; what is not named is where nobody listens."""
    servers = {
        "database": f"postgresql://{NOBODY}/penstock",
        "rabbitmq": f"amqp://{NOBODY}/",
        "redis": f"redis://{NOBODY}/0",
        "spool": str(folder / "spool"),
    } | urls
    lines = [f'{name} = "{value}"' for name, value in servers.items()]
    account = '[[accounts]]\nname = "a"\nprovider = "vllm"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["m"]\n'
    path = folder / "penstock.toml"
    path.write_text("\n".join([account, "[broker]", *lines]))
    return load(path)


@pytest.mark.parametrize(
    ("server", "held"),
    [
        ("redis", f"localhost:6379/{PASSWORD}"),
        ("redis", f"redis://:{PASSWORD}@localhost:port/0"),
        ("rabbitmq", f"http://guest:{PASSWORD}@localhost"),
        ("database", f"mysql://root:{PASSWORD}@localhost/penstock"),
    ],
)
def test_a_file_that_holds_no_url_of_that_server_is_refused_and_not_shown(
    tmp_path: Path, server: str, held: str
) -> None:
    (tmp_path / "url").write_text(held)
    loaded = settings(tmp_path, **{server: f"file:{tmp_path / 'url'}"})
    with pytest.raises(ConfigError) as refused:
        url_of(loaded.broker, server)
    assert f"[broker] {server}" in str(refused.value)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("server", ["database", "rabbitmq", "redis"])
def test_a_worker_says_what_is_wrong_with_a_url_before_it_waits_for_anything(tmp_path: Path, server: str) -> None:
    (tmp_path / "url").write_text("nonsense")
    loaded = settings(tmp_path, **{server: f"file:{tmp_path / 'url'}"})
    with pytest.raises(ConfigError, match=rf"\[broker\] {server}"):
        WorkerProcess(loaded, loaded.accounts[0])


@pytest.mark.parametrize("kind", ["worker", "serve"])
def test_a_process_that_waits_for_the_database_ends_when_it_is_stopped(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        loaded = settings(tmp_path)
        process = WorkerProcess(loaded, loaded.accounts[0]) if kind == "worker" else Serve(loaded, [Role.REAPER])
        began = asyncio.Event()
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(process.run(began.set))
            await eventually(lambda: "waiting for the database" in caplog.text)
            process.stop()
            await running
        assert not began.is_set()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())

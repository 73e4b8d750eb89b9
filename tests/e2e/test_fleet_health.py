"""What real processes of a fleet say of themselves over HTTP, and what `serve` does when it plays one role."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from broker.testing.simulator import simulator
from tests.chaos.installation import Installation, Pool
from tests.e2e.command_line import until
from tests.servers.debian import lasting_port
from tests.shared_fleet import ROLES, fleet_on

LIMIT_S = 90.0
SIM = 'ledger = "counts"\n[[keys]]\nname = "pool"\n'


def asked(port: int, page: str) -> tuple[int, dict[str, Any]]:
    """The status and the facts of a page; status 0 while nobody listens."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as refused:
        return refused.code, json.loads(refused.read())
    except (URLError, OSError):
        return 0, {}


@pytest.fixture
def fleet(tmp_path: Path, postgres_server: dict[str, str], rabbitmq_url: str, redis_url: str) -> Iterator[Installation]:
    with (
        simulator(tmp_path, SIM) as sim,
        fleet_on(
            tmp_path,
            sim,
            [Pool(name="pool")],
            postgres=postgres_server["server"],
            rabbitmq=rabbitmq_url,
            redis_url=redis_url,
        ) as made,
    ):
        yield made


def test_worker_and_serve_are_alive_and_ready_when_their_servers_are_there(fleet: Installation) -> None:
    ports = lasting_port(), lasting_port()
    fleet.serve(1, *ROLES, "--health", f"127.0.0.1:{ports[0]}")
    fleet.start("worker", "--account", "pool", "--config", str(fleet.config()), "--health", f"127.0.0.1:{ports[1]}")
    shared = {"rabbitmq", "database"}
    for port, checks in zip(ports, (shared, shared | {"heartbeat", "account"}), strict=True):
        until(lambda port=port: asked(port, "readyz")[0] == 200)  # type: ignore[misc]
        assert asked(port, "livez")[0] == 200
        facts = asked(port, "readyz")[1]
        assert facts["ready"]
        assert facts["checks"] == dict.fromkeys(checks)
        assert facts["loop_lag_ms"] >= 0


def test_a_worker_whose_queues_cannot_be_reached_is_alive_and_says_what_is_missing(fleet: Installation) -> None:
    config = fleet.config()
    away = lasting_port()
    config.write_text(config.read_text().replace('"env:CHAOS_RABBITMQ"', f'"amqp://127.0.0.1:{away}/"'))
    port = lasting_port()
    fleet.start("worker", "--account", "pool", "--config", str(config), "--health", f"127.0.0.1:{port}")
    until(lambda: "rabbitmq" in asked(port, "readyz")[1].get("checks", {}))
    until(lambda: asked(port, "readyz")[1]["checks"]["rabbitmq"] is not None)
    status, facts = asked(port, "readyz")
    assert status == 503
    assert f"127.0.0.1:{away}" in facts["checks"]["rabbitmq"]
    assert asked(port, "livez")[0] == 200


def test_who_only_reaps_feeds_nothing_and_an_unknown_role_is_refused(fleet: Installation) -> None:
    refused = fleet.start("serve", "--config", str(fleet.config()), "--roles", "feeder,cook")
    assert asyncio.run(refused.ended(LIMIT_S)) == 2
    port = lasting_port()
    fleet.serve(1, "--roles", "reaper", "--health", f"127.0.0.1:{port}")
    until(lambda: asked(port, "readyz")[0] == 200)
    batch = fleet.submit(3)
    fleet.start("worker", "--account", "pool", "--config", str(fleet.config()))
    fleet.serve(1, "--roles", "feeder")
    assert asyncio.run(fleet.finished(batch, LIMIT_S)).counts.succeeded == 3

"""Whatever is killed while a fleet works: nothing is lost, nothing is answered twice, nothing is paid for unseen.

At small size; `benchmarks/chaos.py` plays the same scenarios with 10,000 jobs each.
"""

from pathlib import Path

import pytest

from tests.chaos import scenarios
from tests.chaos.performance import perform
from tests.chaos.servers import Servers
from tests.chaos.stage import Scenario, Size

PLAYED = {
    scenarios.WORKER_KILLED: Size(jobs=400, faults=4, call_s=0.2, workers=2, within_s=90),
    scenarios.RABBITMQ_KILLED: Size(jobs=400, faults=1, call_s=0.2, workers=2, within_s=90),
    scenarios.POSTGRESQL_STOPPED: Size(jobs=400, faults=2, call_s=0.2, workers=2, within_s=90),
    scenarios.RABBITMQ_WIPED: Size(jobs=400, faults=1, call_s=0.2, workers=2, within_s=90),
    scenarios.FEEDER_KILLED: Size(jobs=600, faults=1, call_s=0.2, workers=2, within_s=90),
    scenarios.ROLLING_RESTART: Size(jobs=400, faults=1, call_s=0.5, workers=2, slots=16, within_s=90),
    scenarios.MACHINE_LOST: Size(jobs=400, faults=1, call_s=0.2, workers=2, within_s=90),
    scenarios.ANSWERS_IN_SPOOLS: Size(jobs=400, faults=1, call_s=0.2, workers=2, within_s=90),
}


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_a_fleet_survives(scenario: Scenario, chaos_servers: Servers, tmp_path: Path) -> None:
    verdict = perform(scenario, chaos_servers, tmp_path, size=PLAYED[scenario])
    assert verdict.broken == [], verdict.line()


def test_every_scenario_is_played() -> None:
    assert set(PLAYED) == set(scenarios.ALL)

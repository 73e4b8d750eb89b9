"""Whatever is killed while a fleet works: nothing is lost, nothing is answered twice, nothing is paid for unseen.

At small size; `benchmarks/chaos.py` plays the same scenarios with 10,000 jobs each.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos import scenarios
from tests.chaos.performance import perform, planted
from tests.chaos.servers import Servers
from tests.chaos.stage import Scenario, Size

pytestmark = pytest.mark.timeout(300)  # servers are started first, and machines may be busy
QUICK = ("hurried",)
"""So that the death of another machine is noticed within seconds, and not within half a minute."""
PLAYED: dict[Scenario, tuple[Size, Sequence[str]]] = {
    scenarios.WORKER_KILLED: (Size(jobs=400, faults=4, call_s=0.2, workers=2, within_s=90), ()),
    scenarios.RABBITMQ_KILLED: (Size(jobs=300, faults=1, call_s=0.2, workers=2, within_s=90), ()),
    scenarios.POSTGRESQL_STOPPED: (Size(jobs=300, faults=2, call_s=0.2, workers=2, within_s=90), ()),
    scenarios.RABBITMQ_WIPED: (Size(jobs=300, faults=1, call_s=0.2, workers=2, within_s=90), ()),
    scenarios.FEEDER_KILLED: (Size(jobs=500, faults=1, call_s=0.2, workers=2, within_s=90), ()),
    scenarios.ROLLING_RESTART: (Size(jobs=400, faults=1, call_s=0.5, workers=2, slots=16, within_s=90), ()),
    scenarios.MACHINE_LOST: (Size(jobs=300, faults=1, call_s=0.2, workers=2, within_s=90), QUICK),
    scenarios.LONG_CALLS: (Size(jobs=10, faults=1, call_s=14.0, away_s=7.0, workers=2, within_s=90), QUICK),
    scenarios.ANSWERS_IN_SPOOLS: (Size(jobs=300, faults=1, call_s=0.2, workers=2, within_s=90), ()),
}


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_a_fleet_survives(scenario: Scenario, chaos_servers: Servers, tmp_path: Path) -> None:
    size, faults = PLAYED[scenario]
    verdict = perform(scenario, chaos_servers, tmp_path, size=size, program=planted(*faults))
    assert verdict.broken == [], verdict.line()


def test_every_scenario_is_played() -> None:
    assert set(PLAYED) == set(scenarios.ALL)

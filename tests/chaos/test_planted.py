"""The scenarios can fail: each defect that the design rules out, planted into the processes, turns a verdict red."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos import scenarios
from tests.chaos.performance import perform, planted
from tests.chaos.servers import Servers
from tests.chaos.stage import Scenario, Size

pytestmark = pytest.mark.timeout(300)  # servers are started first, and machines may be busy
UNFINISHED = "did not come to its end"
PAID_TWICE = r"[1-9]\d* extra paid calls, at most 0 are allowed"
UNSEEN = "paid calls match no attempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A defect, what brings it to light, and what is said then."""

    faults: tuple[str, ...]
    scenario: Scenario
    size: Size
    told: str


DEFECTS = (
    Planted(
        faults=("no_claim",),
        scenario=scenarios.RABBITMQ_KILLED,
        size=Size(jobs=300, faults=1, call_s=0.2, workers=2, within_s=60),
        told=UNSEEN,
    ),
    Planted(
        faults=("calls_end_with_the_connection",),
        scenario=scenarios.RABBITMQ_KILLED,
        size=Size(jobs=300, faults=1, call_s=0.2, workers=2, within_s=60),
        told=PAID_TWICE,
    ),
    Planted(
        faults=("reaper_off", "hurried"),
        scenario=scenarios.MACHINE_LOST,
        size=Size(jobs=200, faults=1, call_s=0.2, workers=2, within_s=25),
        told=UNFINISHED,
    ),
    Planted(
        faults=("death_by_age", "hurried"),
        scenario=scenarios.LONG_CALLS,
        size=Size(jobs=10, faults=1, call_s=14.0, away_s=7.0, workers=2, within_s=60),
        told=PAID_TWICE,
    ),
    Planted(
        faults=("spool_off",),
        scenario=scenarios.ANSWERS_IN_SPOOLS,
        size=Size(jobs=300, faults=1, call_s=0.2, workers=2, within_s=60),
        told=PAID_TWICE,
    ),
    Planted(
        faults=("cursor_before_confirms", "hurried"),
        scenario=scenarios.RABBITMQ_KILLED,
        size=Size(jobs=900, faults=1, call_s=0.2, workers=2, latest=0.1, away_s=2.0, within_s=30),
        told=UNFINISHED,
    ),
)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.faults[0])
def test_a_defect_turns_the_verdict_red(defect: Planted, chaos_servers: Servers, tmp_path: Path) -> None:
    verdict = perform(defect.scenario, chaos_servers, tmp_path, size=defect.size, program=planted(*defect.faults))
    assert not verdict.kept
    assert any(re.search(defect.told, sentence) for sentence in verdict.broken), verdict.broken

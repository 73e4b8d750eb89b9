"""What a call takes, by what its provider counts."""

import pytest

from broker.domain.account import ChargeMode
from broker.domain.usage import NO_USAGE, Usage
from broker.limits.charge import actual_charge, estimated_charge
from broker.limits.estimate import Estimate
from broker.limits.port import Charge

ESTIMATE = Estimate(input_tokens=120.0, output_tokens=80.0, max_tokens=1000)
RESERVED = Charge(input_tokens=120.0, output_tokens=80.0)


def test_actual_reserves_the_predicted_output() -> None:
    assert estimated_charge(ESTIMATE, ChargeMode.ACTUAL) == RESERVED


def test_max_once_reserves_the_output_limit() -> None:
    assert estimated_charge(ESTIMATE, ChargeMode.MAX_ONCE) == Charge(input_tokens=120.0, output_tokens=1000.0)


def test_max_once_without_an_output_limit_reserves_the_prediction() -> None:
    unlimited = Estimate(input_tokens=120.0, output_tokens=80.0, max_tokens=None)
    assert estimated_charge(unlimited, ChargeMode.MAX_ONCE) == RESERVED


def test_actual_settles_with_the_reported_usage() -> None:
    usage = Usage(input_tokens=100, output_tokens=5)
    assert actual_charge(usage, ChargeMode.ACTUAL, RESERVED) == Charge(input_tokens=100.0, output_tokens=5.0)


def test_max_once_is_never_refunded() -> None:
    assert actual_charge(Usage(input_tokens=1, output_tokens=1), ChargeMode.MAX_ONCE, RESERVED) == RESERVED


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (NO_USAGE, RESERVED),
        (Usage(input_tokens=100), Charge(input_tokens=100.0, output_tokens=80.0)),
        (Usage(output_tokens=0), Charge(input_tokens=120.0, output_tokens=0.0)),
        (Usage(input_tokens=-7, output_tokens=5), Charge(input_tokens=0.0, output_tokens=5.0)),
    ],
)
def test_unknown_parts_stay_as_reserved(usage: Usage, expected: Charge) -> None:
    assert actual_charge(usage, ChargeMode.ACTUAL, RESERVED) == expected

import pytest

from workers.provider_sim.config import KeyConfig
from workers.provider_sim.gate import Gate, Limit, Need

SMALL = Need(input_tokens=100, max_output_tokens=50)


def a_gate(**limits: object) -> Gate:
    return Gate(KeyConfig.model_validate({"name": "a", **limits}), 0.0)


def remaining(gate: Gate, limit: Limit, now: float = 0.0) -> float:
    return next(level.remaining for level in gate.levels(now) if level.limit is limit)


def test_a_key_without_limits_admits_everything() -> None:
    gate = a_gate()
    assert all(gate.admit(SMALL, 0.0) is None for _ in range(1000))


def test_requests_beyond_the_window_are_denied_with_the_time_to_wait() -> None:
    gate = a_gate(requests_per_minute=60, window_s=2)
    assert [gate.admit(SMALL, 0.0) is None for _ in range(3)] == [True, True, False]
    denial = gate.admit(SMALL, 0.25)
    assert denial is not None
    assert denial.limit is Limit.REQUESTS
    assert denial.wait_s == pytest.approx(0.75)
    assert denial.used + denial.requested > denial.allowed
    assert gate.admit(SMALL, 1.0) is None


def test_a_limit_below_one_request_per_window_still_admits_one() -> None:
    gate = a_gate(requests_per_minute=1, window_s=1)
    assert gate.admit(SMALL, 0.0) is None
    denial = gate.admit(SMALL, 0.0)
    assert denial is not None
    assert denial.wait_s == pytest.approx(60.0)


def test_a_denied_call_takes_nothing() -> None:
    gate = a_gate(requests_per_minute=600, tokens_per_minute=150)
    assert gate.admit(SMALL, 0.0) is None
    assert gate.admit(SMALL, 0.0) is not None
    assert remaining(gate, Limit.REQUESTS) == 599
    assert gate.in_flight == 1


def test_rejected_requests_count_where_the_key_says_so() -> None:
    gate = a_gate(requests_per_minute=600, tokens_per_minute=150, rejected_requests_count=True)
    gate.admit(SMALL, 0.0)
    gate.admit(SMALL, 0.0)
    assert remaining(gate, Limit.REQUESTS) == 598


def test_actual_charges_input_at_admission_and_output_once_produced() -> None:
    gate = a_gate(tokens_per_minute=1000)
    gate.admit(SMALL, 0.0)
    assert remaining(gate, Limit.TOKENS) == 900
    gate.produced(20, 0.0)
    assert remaining(gate, Limit.TOKENS) == 880


def test_max_once_charges_the_maximum_and_never_refunds_output() -> None:
    gate = a_gate(tokens_per_minute=1000, charge_mode="max_once")
    gate.admit(SMALL, 0.0)
    gate.produced(1, 0.0)
    assert remaining(gate, Limit.TOKENS) == 850


def test_max_once_charges_the_default_when_no_maximum_is_named() -> None:
    gate = a_gate(tokens_per_minute=1000, charge_mode="max_once", default_max_tokens=400)
    gate.admit(Need(input_tokens=100, max_output_tokens=None), 0.0)
    assert remaining(gate, Limit.TOKENS) == 500


def test_produced_output_closes_the_gate_until_the_bucket_is_no_longer_empty() -> None:
    gate = a_gate(output_tokens_per_minute=60)
    gate.admit(SMALL, 0.0)
    gate.produced(120, 0.0)
    denial = gate.admit(SMALL, 0.0)
    assert denial is not None
    assert denial.limit is Limit.OUTPUT_TOKENS
    assert denial.wait_s == pytest.approx(61.0)


def test_a_call_larger_than_the_limit_itself_is_never_admitted() -> None:
    denial = a_gate(tokens_per_minute=99).admit(SMALL, 0.0)
    assert denial is not None
    assert denial.never


def test_a_refund_returns_tokens_but_not_the_request() -> None:
    gate = a_gate(requests_per_minute=60, tokens_per_minute=1000)
    gate.admit(SMALL, 0.0)
    gate.refund(SMALL, 0.0)
    assert remaining(gate, Limit.TOKENS) == 1000
    assert remaining(gate, Limit.REQUESTS) == 59


def test_slots_are_free_again_when_calls_leave() -> None:
    gate = a_gate(concurrency=1)
    assert gate.admit(SMALL, 0.0) is None
    denial = gate.admit(SMALL, 0.0)
    assert denial is not None
    assert denial.limit is Limit.CONCURRENCY
    gate.leave()
    assert gate.admit(SMALL, 0.0) is None


@pytest.mark.parametrize("window_s", [1, 10, 60])
def test_reset_is_the_time_to_full_whatever_the_window(window_s: float) -> None:
    gate = a_gate(requests_per_minute=600, window_s=window_s)
    for _ in range(5):
        gate.admit(SMALL, 0.0)
    (level,) = gate.levels(0.0)
    assert level.reset_s == pytest.approx(0.5)
    assert (level.allowed - level.remaining) / (level.allowed / 60) == pytest.approx(level.reset_s)


def test_a_key_that_starts_empty_has_to_earn_its_first_request() -> None:
    gate = a_gate(requests_per_minute=60, start="empty")
    assert gate.admit(SMALL, 0.0) is not None
    assert gate.admit(SMALL, 1.0) is None

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.attempt import REFUSES_FOR_GOOD, AttemptState, CallError, ErrorClass, Scope
from broker.domain.outcome import Finished, Outcome, RetryAt, RetryPolicy, Waiting
from broker.domain.result import ResultState
from broker.domain.usage import NO_USAGE
from broker.protocols.canonical.answer import Answer
from workers.classify import Verdict
from workers.retry import ACCOUNT_SIDE, TRANSIENT, account_pause, decide

POLICY = RetryPolicy()
FAILED = Finished(state=ResultState.FAILED)
E = ErrorClass


def an_error(why: ErrorClass, scope: Scope = Scope.SAME, wait_s: float | None = None) -> CallError:
    return CallError(error_class=why, scope=scope, message="no", wait_s=wait_s)


def outcome(
    error: CallError,
    history: Mapping[ErrorClass, int] | None = None,
    *,
    policy: RetryPolicy = POLICY,
    random: float = 0.5,
    other_account: bool = False,
    account_works: bool = False,
) -> Outcome:
    verdict = Verdict(state=AttemptState.FAILED, error=error)
    return decide(
        verdict,
        history or {},
        policy=policy,
        random=random,
        other_account=other_account,
        account_works=account_works,
    )


def tries(error: CallError, *, policy: RetryPolicy = POLICY, other_account: bool = False) -> int:
    """Calls in all until the job ends, when every call ends with this error."""
    history: Counter[ErrorClass] = Counter()
    while isinstance(outcome(error, history, policy=policy, other_account=other_account), RetryAt):
        history[error.error_class] += 1
    return history.total() + 1


def test_an_answer_finishes_the_job() -> None:
    verdict = Verdict(state=AttemptState.OK, answer=Answer(model=None, usage=NO_USAGE))
    assert decide(verdict, {}, policy=POLICY, random=0.5) == Finished(state=ResultState.SUCCEEDED)


@pytest.mark.parametrize(
    ("why", "calls"),
    [(E.SERVER_ERROR, 5), (E.OVERLOADED, 5), (E.TIMEOUT, 5), (E.MALFORMED_ANSWER, 3), (E.OUTCOME_UNKNOWN, 3)],
)
def test_each_kind_of_error_has_its_budget(why: ErrorClass, calls: int) -> None:
    assert tries(an_error(why)) == calls


def test_at_most_once_ends_with_the_first_unknown_outcome() -> None:
    assert tries(an_error(E.OUTCOME_UNKNOWN), policy=RetryPolicy(unknown_retries=0)) == 1


def test_transient_faults_share_one_budget() -> None:
    history = {E.SERVER_ERROR: 2, E.OVERLOADED: 1, E.TIMEOUT: 1}
    assert outcome(an_error(E.TIMEOUT), history) == FAILED


def test_budgets_of_other_kinds_do_not_mix() -> None:
    history = {E.SERVER_ERROR: 4, E.MALFORMED_ANSWER: 2, E.RATE_LIMITED: 40, E.LOST: 3, E.CONNECTION: 9}
    assert isinstance(outcome(an_error(E.OUTCOME_UNKNOWN), history), RetryAt)


@pytest.mark.parametrize("why", sorted(ACCOUNT_SIDE - {E.OUTAGE}))
@given(count=st.integers(0, 10_000), scope=st.sampled_from(Scope), other=st.booleans())
def test_what_lies_with_the_account_ends_no_job(
    why: ErrorClass,
    count: int,
    scope: Scope,
    other: bool,
) -> None:
    assert isinstance(outcome(an_error(why, scope), {why: count}, other_account=other), Waiting)


@pytest.mark.parametrize("why", sorted(ACCOUNT_SIDE))
def test_only_the_third_refusal_of_one_job_by_an_account_that_works_ends_it(why: ErrorClass) -> None:
    refusal = why in (E.AUTHENTICATION, E.PERMISSION)
    ends = [outcome(an_error(why), {why: earlier}, account_works=True) == FAILED for earlier in range(4)]
    assert ends == [False, False, refusal, refusal]


def test_a_job_that_meets_outage_after_outage_is_probably_their_cause() -> None:
    ends = [outcome(an_error(E.OUTAGE), {E.OUTAGE: earlier}) == FAILED for earlier in (0, 7, 8, 9)]
    assert ends == [False, False, True, True]


@pytest.mark.parametrize("why", [E.INVALID_REQUEST, E.CONTENT_FILTER, E.TOO_LARGE, E.SERVER_ERROR])
@pytest.mark.parametrize("other", [False, True])
def test_what_may_never_work_is_final(why: ErrorClass, other: bool) -> None:
    assert outcome(an_error(why, Scope.NEVER), other_account=other) == FAILED


@pytest.mark.parametrize("why", sorted(REFUSES_FOR_GOOD))
@pytest.mark.parametrize("earlier", [0, 1, 7])
def test_what_one_account_refuses_for_good_goes_on_at_once_while_another_is_left(why: ErrorClass, earlier: int) -> None:
    error = an_error(why, Scope.OTHER, wait_s=30.0)
    assert outcome(error, {why: earlier}, other_account=True) == RetryAt(due_in_s=0.0, why=why)
    assert outcome(error, {why: earlier}) == FAILED


def test_what_else_another_account_may_do_better_is_tried_there_once() -> None:
    assert tries(an_error(E.INVALID_REQUEST, Scope.OTHER)) == 1
    assert tries(an_error(E.INVALID_REQUEST, Scope.OTHER), other_account=True) == 2


@pytest.mark.parametrize(("earlier", "ceiling"), [(0, 1.0), (1, 2.0), (3, 8.0), (6, 60.0), (100_000, 60.0)])
def test_the_backoff_is_full_jitter_under_a_doubling_ceiling(earlier: int, ceiling: float) -> None:
    for random in (0.0, 0.25, 0.999):
        waiting = outcome(an_error(E.RATE_LIMITED), {E.RATE_LIMITED: earlier}, random=random)
        assert waiting == Waiting(due_in_s=ceiling * random, why=E.RATE_LIMITED)


def test_the_hint_is_a_floor() -> None:
    assert outcome(an_error(E.OVERLOADED, wait_s=30.0)) == RetryAt(due_in_s=30.0, why=E.OVERLOADED)
    assert outcome(an_error(E.OVERLOADED, wait_s=0.1)) == RetryAt(due_in_s=0.5, why=E.OVERLOADED)


def test_a_hint_is_capped() -> None:
    assert outcome(an_error(E.RATE_LIMITED, wait_s=86_400.0)) == Waiting(due_in_s=3600.0, why=E.RATE_LIMITED)


def test_another_account_need_not_wait_for_this_ones_limit() -> None:
    found = outcome(an_error(E.RATE_LIMITED, wait_s=30.0), other_account=True)
    assert found == Waiting(due_in_s=0.5, why=E.RATE_LIMITED)


@given(
    st.sampled_from(ErrorClass),
    st.sampled_from(Scope),
    st.dictionaries(st.sampled_from(ErrorClass), st.integers(0, 100)),
    st.none() | st.floats(0, 1e9),
    st.floats(0, 1, exclude_max=True),
)
def test_every_job_waits_a_bounded_time(
    why: ErrorClass,
    scope: Scope,
    history: dict[ErrorClass, int],
    wait_s: float | None,
    random: float,
) -> None:
    found = outcome(an_error(why, scope, wait_s), history, random=random)
    if not isinstance(found, Finished):
        assert 0 <= found.due_in_s <= POLICY.hint_cap_s


def test_no_class_is_both_transient_and_on_the_accounts_side() -> None:
    assert not ACCOUNT_SIDE & TRANSIENT


@pytest.mark.parametrize(
    ("why", "wait_s", "pause"),
    [
        (E.RATE_LIMITED, 12.0, 12.0),
        (E.RATE_LIMITED, 0.0, 0.0),
        (E.RATE_LIMITED, None, 1.0),
        (E.RATE_LIMITED, 86_400.0, 3600.0),
        (E.RAMP, None, 5.0),
        (E.OVERLOADED, 7.0, 7.0),
        (E.OVERLOADED, None, None),
        (E.DAILY_QUOTA, 36.0, 900.0),
        (E.DAILY_QUOTA, 7200.0, 7200.0),
        (E.DAILY_QUOTA, 1e9, 86_400.0),
        (E.SPEND, None, 3600.0),
        (E.AUTHENTICATION, 5.0, 1800.0),
        (E.CONNECTION, None, 1.0),
        (E.SERVER_ERROR, None, None),
        (E.INVALID_REQUEST, None, None),
        (E.OUTCOME_UNKNOWN, None, None),
    ],
)
def test_an_account_rests_as_long_as_its_error_says(
    why: ErrorClass,
    wait_s: float | None,
    pause: float | None,
) -> None:
    assert account_pause(an_error(why, wait_s=wait_s), POLICY) == pause

"""Whether an account can be used."""

import pytest

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.job import JobKey
from broker.domain.outcome import RetryPolicy
from workers.account_health import AccountHealth, Health

NOW = 1_000.0
PAUSES = {
    ErrorClass.AUTHENTICATION: 1800.0,
    ErrorClass.PERMISSION: 1800.0,
    ErrorClass.SPEND: 3600.0,
    ErrorClass.DAILY_QUOTA: 900.0,
}


def an_error(error_class: ErrorClass, *, wait_s: float | None = None) -> CallError:
    return CallError(error_class=error_class, scope=Scope.SAME, message=f"{error_class} it was", wait_s=wait_s)


def job(position: int) -> JobKey:
    return JobKey(1, position)


def a_health(*errors: ErrorClass, now: float = NOW, works: bool = False) -> AccountHealth:
    """An account whose jobs, each another one, came back with these errors."""
    health = AccountHealth(RetryPolicy())
    if works:
        health.succeeded(0.0)
    for position, error_class in enumerate(errors):
        health.went_wrong(an_error(error_class), now, job(position))
    return health


@pytest.mark.parametrize("error_class", sorted(set(ErrorClass) - set(PAUSES) - {ErrorClass.CONNECTION}))
def test_most_errors_are_none_of_the_accounts_fault(error_class: ErrorClass) -> None:
    health = a_health(error_class, error_class, error_class)
    assert (health.health, health.reason, health.blocked_for(NOW)) == (Health.ACTIVE, None, 0.0)


@pytest.mark.parametrize("error_class", [ErrorClass.AUTHENTICATION, ErrorClass.PERMISSION])
def test_one_refusal_is_not_believed(error_class: ErrorClass) -> None:
    health = a_health(error_class)
    assert (health.health, health.reason, health.blocked_for(NOW)) == (Health.ACTIVE, None, 0.0)


@pytest.mark.parametrize(
    "errors",
    [
        (ErrorClass.AUTHENTICATION, ErrorClass.AUTHENTICATION),
        (ErrorClass.PERMISSION, ErrorClass.AUTHENTICATION),
        (ErrorClass.AUTHENTICATION, ErrorClass.SERVER_ERROR, ErrorClass.AUTHENTICATION),
        (ErrorClass.PERMISSION,) * 20,
    ],
)
def test_a_refusal_is_when_other_jobs_were_refused_too(errors: tuple[ErrorClass, ...]) -> None:
    health = a_health(*errors)
    assert health.health is Health.REVOKED
    assert health.reason == f"{errors[-1]} it was"
    assert health.blocked_for(NOW) == 1800.0


@pytest.mark.parametrize("error_class", [ErrorClass.SPEND, ErrorClass.DAILY_QUOTA])
def test_used_up_is_believed_at_once(error_class: ErrorClass) -> None:
    health = a_health(error_class)
    assert health.health is Health.EXHAUSTED
    assert health.reason == f"{error_class} it was"
    assert health.blocked_for(NOW) == PAUSES[error_class]


def test_the_providers_own_hint_on_a_daily_quota_is_followed() -> None:
    health = AccountHealth(RetryPolicy())
    health.went_wrong(an_error(ErrorClass.DAILY_QUOTA, wait_s=7200.0), NOW, job(0))
    assert health.blocked_for(NOW + 200) == 7000.0


def test_the_block_ends_with_its_time_but_its_reason_stays_until_a_good_answer() -> None:
    health = a_health(ErrorClass.SPEND)
    assert health.blocked_for(NOW + 3600) <= 0
    assert health.reason is not None
    health.succeeded(NOW + 3600)
    assert health.reason is None
    assert health.blocked_for(NOW) == 0.0


def test_the_late_answer_of_a_call_started_before_the_block_ends_nothing() -> None:
    health = a_health(ErrorClass.SPEND)
    health.succeeded(NOW - 1)
    assert health.health is Health.EXHAUSTED
    assert health.blocked_for(NOW) > 0
    assert health.works


def test_a_probe_that_fails_blocks_again() -> None:
    health = a_health(ErrorClass.SPEND)
    health.went_wrong(an_error(ErrorClass.SPEND), NOW + 3600, job(0))
    assert health.blocked_for(NOW + 3600) == 3600


def test_a_shorter_block_does_not_cut_a_longer_one() -> None:
    health = a_health(ErrorClass.SPEND)
    health.went_wrong(an_error(ErrorClass.DAILY_QUOTA), NOW, job(0))
    assert health.blocked_for(NOW) == 3600


def test_a_good_answer_between_two_refusals_forgets_the_first() -> None:
    health = a_health(ErrorClass.AUTHENTICATION)
    health.succeeded(0.0)
    health.went_wrong(an_error(ErrorClass.AUTHENTICATION), NOW, job(1))
    assert health.health is Health.ACTIVE


def test_refusals_far_apart_do_not_confirm_each_other() -> None:
    health = a_health(ErrorClass.AUTHENTICATION)
    states = []
    for position, now in ((1, NOW + 61), (2, NOW + 100)):
        health.went_wrong(an_error(ErrorClass.AUTHENTICATION), now, job(position))
        states.append(health.health)
    assert states == [Health.ACTIVE, Health.REVOKED]


@pytest.mark.parametrize(("error_class", "times"), [(ErrorClass.AUTHENTICATION, 3), (ErrorClass.PERMISSION, 6)])
def test_a_lone_job_that_is_refused_again_and_again_shows_that_an_account_does_not_work(
    error_class: ErrorClass, times: int
) -> None:
    health, states = a_health(), []
    for earlier in range(times):
        health.went_wrong(an_error(error_class), NOW, job(0), earlier)
        states.append(health.health)
    assert states == [Health.ACTIVE] * (times - 1) + [Health.REVOKED]


def test_jobs_that_were_forbidden_before_say_nothing_about_an_account_that_works() -> None:
    health = a_health(*[ErrorClass.PERMISSION] * 19, works=True)
    states = []
    for position, earlier in [*((position, 1) for position in range(1_000)), (1_000, 0)]:
        health.went_wrong(an_error(ErrorClass.PERMISSION), NOW, job(position), earlier)
        states.append(health.health)
    assert states == [Health.ACTIVE] * 1_000 + [Health.REVOKED]


def test_a_revoked_account_stays_so_by_the_refusal_of_any_probe() -> None:
    health = a_health(ErrorClass.AUTHENTICATION, ErrorClass.AUTHENTICATION)
    health.went_wrong(an_error(ErrorClass.PERMISSION), NOW + 1800, job(0), 1)
    assert health.blocked_for(NOW + 1800) == 1800.0


def test_an_account_vouches_for_itself_by_good_answers_while_nothing_is_held_against_it() -> None:
    assert not a_health().vouched_for
    assert a_health(works=True).vouched_for
    assert a_health(ErrorClass.CONNECTION, works=True).vouched_for
    assert not a_health(ErrorClass.SPEND, works=True).vouched_for


def test_a_block_that_a_good_answer_ended_does_not_lengthen_the_next() -> None:
    health = a_health(ErrorClass.SPEND)
    health.succeeded(NOW)
    health.went_wrong(an_error(ErrorClass.DAILY_QUOTA), NOW, job(0))
    assert health.blocked_for(NOW) == 900


def test_an_account_that_is_not_there_is_looked_for_at_longer_and_longer_intervals() -> None:
    health = a_health()
    now, waits = NOW, []
    for _ in range(8):
        health.went_wrong(an_error(ErrorClass.CONNECTION), now, job(0))
        waits.append(health.blocked_for(now))
        now += waits[-1]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert health.health is Health.UNREACHABLE
    health.succeeded(0.0)
    assert (health.health, health.blocked_for(now)) == (Health.ACTIVE, 0.0)


def test_calls_that_fail_together_are_one_absence() -> None:
    health = a_health(*[ErrorClass.CONNECTION] * 64)
    assert health.blocked_for(NOW) == 1.0


def test_an_absence_does_not_shorten_a_longer_block() -> None:
    health = a_health(ErrorClass.SPEND, ErrorClass.CONNECTION)
    assert (health.health, health.blocked_for(NOW)) == (Health.EXHAUSTED, 3600.0)


def _errors_of(jobs: int, each: int) -> AccountHealth:
    health = AccountHealth(RetryPolicy())
    for _ in range(each):
        for position in range(jobs):
            health.went_wrong(an_error(ErrorClass.OVERLOADED), NOW, JobKey(1, position))
    return health


@pytest.mark.parametrize(
    ("jobs", "each", "expected"),
    [(5, 1, Health.FAILING), (3, 2, Health.FAILING), (4, 1, Health.ACTIVE), (2, 9, Health.ACTIVE)],
)
def test_errors_of_many_jobs_in_a_row_are_an_outage(jobs: int, each: int, expected: Health) -> None:
    assert _errors_of(jobs, each).health is expected


def test_an_outage_is_over_with_the_first_good_answer() -> None:
    health = _errors_of(64, 1)
    assert health.blocked_for(NOW) == 1.0
    health.succeeded(0.0)
    assert (health.health, health.blocked_for(NOW)) == (Health.ACTIVE, 0.0)
    health.went_wrong(an_error(ErrorClass.OVERLOADED), NOW, JobKey(1, 0))
    assert health.health is Health.ACTIVE

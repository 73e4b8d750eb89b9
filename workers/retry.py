"""Decides what becomes of a job after a call, and how long its account should rest. Pure."""

from collections.abc import Mapping
from typing import assert_never

from broker.domain.attempt import REFUSES_FOR_GOOD, CallError, ErrorClass, Scope
from broker.domain.outcome import Finished, Outcome, RetryAt, RetryPolicy, Waiting
from broker.domain.result import ResultState
from workers.classify import Verdict

ACCOUNT_SIDE = frozenset(
    {
        ErrorClass.RATE_LIMITED,
        ErrorClass.RAMP,
        ErrorClass.DAILY_QUOTA,
        ErrorClass.SPEND,
        ErrorClass.AUTHENTICATION,
        ErrorClass.PERMISSION,
        ErrorClass.CONNECTION,
        ErrorClass.OUTAGE,
        ErrorClass.NEVER_SENT,
    }
)
"""The job is not at fault and loses nothing by waiting: it does not end by this, but for a refusal of its own."""

_PERHAPS_ITS_OWN = frozenset({ErrorClass.AUTHENTICATION, ErrorClass.PERMISSION})
_REFUSALS_OF_ONE_JOB = 3
"""So many of one class end a job, if its account answers others: a firewall or filter dislikes what it says."""

TRANSIENT = frozenset({ErrorClass.OVERLOADED, ErrorClass.SERVER_ERROR, ErrorClass.TIMEOUT})
"""Faults that share one budget, as one outage shows itself in several of them."""

_LONGEST_BACKOFF_EXPONENT = 16

_PAUSE_S: Mapping[ErrorClass, float] = {
    ErrorClass.RATE_LIMITED: 1.0,
    ErrorClass.RAMP: 5.0,
    ErrorClass.CONNECTION: 1.0,
    ErrorClass.DAILY_QUOTA: 900.0,
    ErrorClass.AUTHENTICATION: 1800.0,
    ErrorClass.PERMISSION: 1800.0,
    ErrorClass.SPEND: 3600.0,
}
"""Rest of an account where the provider gives no hint: until one call as a probe is worth it."""

# A shorter hint on a daily quota speaks of another, shorter window.
_OUTAGES_OF_ONE_JOB = 8
_SHORTEST_DAILY_HINT_S = 300.0
_LONGEST_PAUSE_S = 86_400.0


def decide(
    verdict: Verdict,
    history: Mapping[ErrorClass, int],
    *,
    policy: RetryPolicy,
    random: float,
    other_account: bool = False,
    account_works: bool = False,
) -> Outcome:
    """Say what becomes of the job.

    `history` counts the job's earlier attempts by error class, without the one judged here. `random` is uniform in
    [0, 1). `other_account`: whether another account serves the job's route, and has not refused the job for good.
    `account_works`: whether this account has answered another job well, and nothing is held against it now.
    """
    error = verdict.error
    if error is None:
        return Finished(state=ResultState.SUCCEEDED)
    why = error.error_class
    if why in ACCOUNT_SIDE:
        if _is_its_own(why, history.get(why, 0), account_works=account_works):
            return Finished(state=ResultState.FAILED)
        # Another account may take the job at once; else nothing is gained before the hint.
        floor = 0.0 if other_account else _hint(error, policy)
        return Waiting(due_in_s=max(floor, _backoff(history.get(why, 0), policy, random)), why=why)
    if why in REFUSES_FOR_GOOD and error.scope is Scope.OTHER:
        # Nobody is asked twice, so this ends; and nothing is gained by waiting
        return RetryAt(due_in_s=0.0, why=why) if other_account else Finished(state=ResultState.FAILED)
    spent = _spent(why, history)
    if spent >= _retries(error, policy, other_account=other_account):
        return Finished(state=ResultState.FAILED)
    return RetryAt(due_in_s=max(_hint(error, policy), _backoff(spent, policy, random)), why=why)


def _is_its_own(why: ErrorClass, earlier: int, *, account_works: bool) -> bool:
    """Whether what looks like trouble of the account is, after so many of the kind, more likely the job's own."""
    if why in _PERHAPS_ITS_OWN:
        return account_works and earlier >= _REFUSALS_OF_ONE_JOB - 1
    return why is ErrorClass.OUTAGE and earlier >= _OUTAGES_OF_ONE_JOB  # met with so many, it is probably their cause


def _spent(why: ErrorClass, history: Mapping[ErrorClass, int]) -> int:
    """Count the retries used up by earlier errors of the same budget."""
    if why in TRANSIENT:
        return sum(history.get(each, 0) for each in TRANSIENT)
    return history.get(why, 0)


def _retries(error: CallError, policy: RetryPolicy, *, other_account: bool) -> int:
    """Give the number of retries that errors of this kind are worth."""
    match error.scope:
        case Scope.NEVER:
            return 0
        case Scope.OTHER:  # one look at another account
            return 1 if other_account else 0
        case Scope.SAME:
            if error.error_class is ErrorClass.MALFORMED_ANSWER:
                return policy.malformed_retries
            if error.error_class is ErrorClass.OUTCOME_UNKNOWN:
                return policy.unknown_retries
            return policy.transient_tries - 1
        case _:
            assert_never(error.scope)


def _hint(error: CallError, policy: RetryPolicy) -> float:
    return min(error.wait_s or 0.0, policy.hint_cap_s)


def _backoff(earlier: int, policy: RetryPolicy, random: float) -> float:
    """Full jitter: uniform up to a ceiling that doubles with every earlier error of the kind; seconds."""
    ceiling = policy.backoff_base_s * 2.0 ** min(earlier, _LONGEST_BACKOFF_EXPONENT)
    return random * min(policy.backoff_cap_s, ceiling)


def account_pause(error: CallError, policy: RetryPolicy) -> float | None:
    """Seconds that the whole account should start nothing after this error; `None`: it may go on.

    One 401 or 403 may be a hiccup or one job's own: for `AUTHENTICATION` and `PERMISSION` the caller waits for
    others, from other jobs, before it believes this.
    """
    why, hint = error.error_class, error.wait_s
    if why is ErrorClass.DAILY_QUOTA:
        believed = hint if hint is not None and hint > _SHORTEST_DAILY_HINT_S else _PAUSE_S[why]
        return min(believed, _LONGEST_PAUSE_S)
    if hint is not None and why in (ErrorClass.RATE_LIMITED, ErrorClass.RAMP, ErrorClass.OVERLOADED):
        return min(hint, policy.hint_cap_s)
    return _PAUSE_S.get(why)

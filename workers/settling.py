"""What a verdict means for the limits of the account. Pure."""

from broker.domain.attempt import AttemptState, ErrorClass
from broker.domain.usage import UsageSource
from broker.limits.port import Settled
from workers.classify import Verdict
from workers.reporting import reported

_NOT_SENT = frozenset({ErrorClass.CONNECTION, ErrorClass.NEVER_SENT, ErrorClass.UNTRANSLATABLE})


def settled(verdict: Verdict) -> Settled:
    """Say how a call ended, as far as the limits care."""
    if reported(verdict).source is UsageSource.REPORTED:
        return Settled.USED
    match verdict.state:
        case AttemptState.OK | AttemptState.UNKNOWN:
            return Settled.USED
        case AttemptState.FAILED if verdict.error and verdict.error.error_class is ErrorClass.MALFORMED_ANSWER:
            return Settled.USED
        case _:
            sent = verdict.error is None or verdict.error.error_class not in _NOT_SENT
            return Settled.REJECTED if sent else Settled.NOT_STARTED

"""Makes the reports of attempts: what is committed of a call, and of the job where that ends with it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from broker.accounting.pricing import Pricing
from broker.domain.account import Account
from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.clock import Clock
from broker.domain.outcome import Finished, Outcome
from broker.domain.report import Again, Conclusion, Part, Report
from broker.domain.result import ResultState
from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.exact_json import written
from broker.protocols.registry import codec_of
from broker.redaction import redacted_body
from workers import part_answers
from workers.classify import Verdict
from workers.endings import Ending, Responded
from workers.interpreter import heard
from workers.work import Work

log = logging.getLogger("penstock.worker")

_DEFECT = "defect"
NEVER_SENT = CallError(
    error_class=ErrorClass.NEVER_SENT, scope=Scope.SAME, message="claimed, but not sent: the work was handed back"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Writes down what calls of one account came to."""

    account: Account
    pricing: Pricing
    model_of: Callable[[str], str]
    """Route to logical model."""
    clock: Clock

    def report(self, work: Work, ending: Ending, verdict: Verdict, outcome: Outcome) -> Report:
        """Report an attempt of which it is decided what becomes of its job."""
        match outcome:
            case Finished(state=state):
                return self.closing(work, verdict, _said(work, ending, verdict, state))
            case _:
                return self.closing(work, verdict, Again(in_s=outcome.due_in_s, why=outcome.why))

    def closing(self, work: Work, verdict: Verdict, then: Conclusion | Part | Again) -> Report:
        """Report the end of an attempt, and what follows."""
        now = self.clock.now()
        usage = _usage(work, verdict)
        served = verdict.answer.model if verdict.answer else None
        paid = verdict.answer is not None or usage.source is not UsageSource.MISSING
        cost = self.pricing.cost(self.account.name, self.model_of(work.job.route), served, usage, at=now)
        return Report(
            key=work.job.key,
            number=work.number,
            attempt_id=work.attempt_id,
            account=self.account.name,
            provider=self.account.provider,
            model=work.model,
            state=verdict.state,
            then=then,
            usage=usage,
            cost=cost.amount if paid else None,
            price_version=cost.version if paid else None,
            error=verdict.error,
            request_id=verdict.request_id,
            sent_at=work.sent_at,
            finished_at=now,
        )


def reported(verdict: Verdict) -> Usage:
    """What the provider says was used; it may say so in an answer that is of no use, too."""
    if verdict.answer is not None:
        return verdict.answer.usage
    return verdict.error.usage if verdict.error is not None else NO_USAGE


def _usage(work: Work, verdict: Verdict) -> Usage:
    """The reported usage; for a good answer without any, our estimate, flagged as such."""
    usage = reported(verdict)
    if verdict.answer is None or usage.source is not UsageSource.MISSING:
        return usage
    return Usage(
        input_tokens=round(work.charge.input_tokens),
        output_tokens=round(work.charge.output_tokens),
        source=UsageSource.ESTIMATED,
    )


def defect_of(problem: Exception, *, status: int) -> CallError:
    """Our own code failed on a good answer: it would fail again, so nothing more is paid for."""
    message = (
        f"a defect of ours ({type(problem).__name__}): the answer is kept in the database, as the provider sent it"
    )
    return CallError(
        error_class=ErrorClass.MALFORMED_ANSWER, scope=Scope.NEVER, message=message, code=_DEFECT, status=status
    )


def _said(work: Work, ending: Ending, verdict: Verdict, state: ResultState) -> Conclusion | Part:
    """What follows from the last word on a job, or on one of the answers that it takes."""
    if verdict.answer is None or not isinstance(ending, Responded):
        return _failure(work, ending, verdict.error or NEVER_SENT, state)
    try:
        if work.said is not None and work.said.fan_out > 1:
            return Part(number=len(work.parts), body=part_answers.kept(heard(work.job, verdict.answer), work.losses))
        earlier = [part_answers.read(part) for part in work.parts]
        body = (
            ending.body if work.passes_through else heard(work.job, verdict.answer, [part.answer for part in earlier])
        )
    except Exception as problem:
        log.exception("attempt %s: its answer cannot be said; it is kept as it came", work.attempt_id)
        return _failure(work, ending, defect_of(problem, status=ending.status), ResultState.FAILED)
    return Conclusion(
        state=state,
        custom_id=work.job.custom_id,
        status=ending.status,
        body=body,
        model=verdict.answer.model,
        warnings=tuple(dict.fromkeys([*(loss for part in earlier for loss in part.warnings), *work.losses])),
        parts=len(work.parts),
    )


def _failure(work: Work, ending: Ending, error: CallError, state: ResultState) -> Conclusion:
    status, body = _refusal(work, ending, error)
    return Conclusion(
        state=state,
        custom_id=work.job.custom_id,
        status=status,
        body=body,
        error_code=error.code or error.error_class,
        error_message=error.message,
        parts=len(work.parts),
    )


def _refusal(work: Work, ending: Ending, error: CallError) -> tuple[int | None, bytes | None]:
    """Status and body of an error that a provider told, as the producer's own API would tell it."""
    if not isinstance(ending, Responded):
        return None, None
    if 200 <= ending.status < 300:
        return None, ending.body if error.code == _DEFECT else None
    if work.passes_through:
        return ending.status, redacted_body(ending.body)
    status, body = codec_of(work.job.endpoint.dialect).write_error(error)
    return status, written(body)

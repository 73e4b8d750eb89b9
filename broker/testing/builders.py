"""Builders: values and stored batches with every field filled in, of which a test names those it is about."""

import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy import Connection

from broker.domain.attempt import AttemptState, CallError, ErrorClass, Scope
from broker.domain.job import Endpoint, JobKey
from broker.domain.loss import OnLoss
from broker.domain.report import Again, Conclusion, Part, Report
from broker.domain.result import ResultState
from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.store import manifest
from broker.store.claim import Claim
from broker.store.manifest import NewBatch
from broker.store.segment import SegmentDraft, SegmentWriter, pack_line

ACCOUNT = "team-a"
PROVIDER = "openai"
MODEL = "gpt-5-mini"
FINISHED_AT = 1_800_000_000.0
"""The default time of a report: the first second of an hour."""

_ERRORS: Mapping[AttemptState, ErrorClass] = {
    AttemptState.REFUSED: ErrorClass.RATE_LIMITED,
    AttemptState.FAILED: ErrorClass.SERVER_ERROR,
    AttemptState.UNKNOWN: ErrorClass.OUTCOME_UNKNOWN,
}


def a_usage(input_tokens: int = 10, output_tokens: int = 5) -> Usage:
    """Tokens that the provider reported."""
    return Usage(
        input_tokens=input_tokens,
        cache_read_tokens=2,
        cache_write_tokens=1,
        output_tokens=output_tokens,
        reasoning_tokens=3,
        source=UsageSource.REPORTED,
    )


def an_answer(key: JobKey, body: bytes = b'{"answer":1}') -> Conclusion:
    """The result that a good answer gives its job."""
    return Conclusion(state=ResultState.SUCCEEDED, custom_id=f"row-{key.position}", status=200, body=body, model=MODEL)


def a_failure(key: JobKey) -> Conclusion:
    """The result of a job that will not be tried again."""
    return Conclusion(
        state=ResultState.FAILED,
        custom_id=f"row-{key.position}",
        status=500,
        error_code="server_error",
        error_message="the provider failed",
    )


def a_report(
    key: JobKey | tuple[int, int],
    number: int = 1,
    state: AttemptState = AttemptState.OK,
    then: Conclusion | Part | Again | None = None,
    *,
    usage: Usage | None = None,
    cost: Decimal | None = None,
    account: str = ACCOUNT,
    model: str = MODEL,
    finished_at: float = FINISHED_AT,
    message: str = "it went wrong",
) -> Report:
    """A report of one attempt; a good one concludes its job and has a usage and a cost."""
    key = JobKey(*key)
    good = state is AttemptState.OK
    return Report(
        key=key,
        number=number,
        attempt_id=f"att-{key.batch_id}-{key.position}-{number}",
        account=account,
        provider=PROVIDER,
        model=model,
        state=state,
        then=an_answer(key) if good and then is None else then,
        usage=usage or (a_usage() if good else NO_USAGE),
        cost=Decimal("0.0000000125") if good and cost is None else cost,
        price_version="list-1" if good else None,
        error=None if good else CallError(error_class=_ERRORS[state], scope=Scope.SAME, message=message),
        request_id=f"req-{key.position}-{number}",
        sent_at=finished_at - 1,
        finished_at=finished_at,
    )


def a_claim(
    key: JobKey | tuple[int, int], attempt_id: str | None = None, *, from_due: bool = False, alone: bool = False
) -> Claim:
    """A wish to call the provider, under an id of its own."""
    return Claim(
        key=JobKey(*key),
        attempt_id=attempt_id or f"att_{uuid.uuid4().hex}",
        model=MODEL,
        from_due=from_due,
        alone=alone,
    )


def a_submission(name: str | None = None, **changes: object) -> NewBatch:
    """What a batch is opened with; without a name, a submission like no other."""
    facts: dict[str, object] = {
        "project": "default",
        "submission_id": name or uuid.uuid4().hex,
        "body_hash": "sha256:1",
        "dialect": "openai",
        "source": "jobs.jsonl",
        "tag": "nightly",
    }
    return NewBatch(**(facts | changes))  # type: ignore[arg-type]  # a test names fields of `NewBatch`


def a_segment(positions: Sequence[int], route: str = MODEL, on_loss: OnLoss = OnLoss.FAIL) -> SegmentDraft:
    """A segment with the jobs `row-<position>`."""
    lines = [
        pack_line(position, f"row-{position}", Endpoint.CHAT_COMPLETIONS, b'{"prompt":%d}' % position, on_loss)
        for position in positions
    ]
    return SegmentWriter().draft(route, positions[0], positions[-1], lines)


def a_batch(
    connection: Connection, jobs: int = 3, *, per_segment: int = 100, submission: NewBatch | None = None
) -> int:
    """Store a batch of one route that is accepted and may run; returns its id."""
    batch_id, _ = manifest.open_batch(connection, submission or a_submission())
    spans = [range(start, min(start + per_segment, jobs)) for start in range(0, jobs, per_segment)]
    manifest.add_segments(connection, batch_id, 0, [a_segment(span) for span in spans])
    manifest.seal(connection, batch_id, jobs)
    return batch_id

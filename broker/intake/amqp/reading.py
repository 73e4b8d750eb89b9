"""From the bytes of a message to what its producer wants, or to what is wrong with it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from broker.domain.form import BatchForm
from broker.errors import CallerError
from broker.intake.amqp import shapes
from broker.intake.amqp.job_shapes import KEYS
from broker.intake.jsonl import Row, RowCheck
from broker.intake.layout import Layout, form_told_by, told_layout
from broker.intake.problems import Problem, ProblemCode
from broker.intake.row_syntax import readable_keys
from broker.intake.source import Line
from broker.protocols.splice import deeper_than, elements, members

MOST_BYTES = 8 * 1024 * 1024
"""Of one message. RabbitMQ 4 takes 16 MiB."""
SHOWN_PROBLEMS = 100
_MAX_HEAD_DEPTH = 8
_HEADS: dict[str, TypeAdapter[Any]] = {
    "jobs": TypeAdapter(shapes.JobsHead),
    "seal": TypeAdapter(shapes.Seal),
    "subscribe": TypeAdapter(shapes.Subscribe),
    "unsubscribe": TypeAdapter(shapes.Unsubscribe),
}
_DEFAULTS: Mapping[BatchForm, Mapping[str, object]] = {
    BatchForm.OPENAI: {"method": "POST"},
    BatchForm.ANTHROPIC: {},
    BatchForm.GEMINI: {},
}


class MessageRefused(CallerError):
    """Nothing of the message can be accepted; `code` says why, the message never shows what was in it."""

    code = "invalid_message"

    def __init__(self, code: str, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsWanted:
    """Jobs that can be accepted, at positions from 0 on, and what was said about their batch."""

    head: shapes.JobsHead
    form: BatchForm
    rows: tuple[Row, ...]


Wanted = JobsWanted | shapes.Seal | shapes.Subscribe | shapes.Unsubscribe


def read(body: bytes, *, routes: frozenset[str]) -> Wanted:
    """Read a whole message; raises `MessageRefused`. `routes` are those that some account serves."""
    head, jobs = _split(body)
    version = head.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version != shapes.VERSION:
        raise MessageRefused("unknown_version", f"version must be {shapes.VERSION}")
    kind = head.get("kind")
    if not isinstance(kind, str) or kind not in _HEADS:
        raise MessageRefused("unknown_kind", f"kind must be one of {', '.join(_HEADS)}")
    try:
        message = _HEADS[kind].validate_python(head)
    except ValidationError as error:
        raise MessageRefused("invalid_message", _first_fault(error)) from None  # the cause would show the values
    match message:
        case shapes.JobsHead():
            return _jobs_wanted(message, body, jobs, routes)
        case shapes.Seal() | shapes.Subscribe() | shapes.Unsubscribe() if jobs is None:
            return message
        case _:
            raise MessageRefused("invalid_message", f"a message of kind {kind} has no jobs")


def _split(body: bytes) -> tuple[dict[str, Any], int | None]:
    """Everything but the jobs, which may be many, and where their value starts; it is not looked at here."""
    try:
        found = list(members(body))
        twice = [key for key, times in Counter(member.key for member in found).items() if times > 1]
        if twice:
            raise MessageRefused("malformed", "a key of the message stands there twice")
        jobs = next((member for member in found if member.key == "jobs"), None)
        text = body if jobs is None else body[: jobs.start] + b"null" + body[jobs.end :]
        if deeper_than(text, _MAX_HEAD_DEPTH):
            raise MessageRefused("malformed", "the message nests too deeply outside its jobs")
        head: dict[str, Any] = orjson.loads(text)
    except (ValueError, RecursionError):
        raise MessageRefused("malformed", "the message is not one JSON object in UTF-8") from None
    head.pop("jobs", None)
    return head, None if jobs is None else jobs.start


def _jobs_wanted(head: shapes.JobsHead, body: bytes, start: int | None, routes: frozenset[str]) -> JobsWanted:
    if start is None:
        raise MessageRefused("invalid_message", "jobs is missing")
    try:
        spans = list(elements(body, start))
    except ValueError:
        raise MessageRefused("malformed", "jobs is not a JSON array") from None
    if not 1 <= len(spans) <= shapes.MOST_JOBS:
        raise MessageRefused("invalid_message", f"jobs must hold 1 to {shapes.MOST_JOBS} jobs, not {len(spans)}")
    first, last = spans[0]
    layout = _layout(head, body[first:last])
    rows = _rows(
        body,
        spans,
        RowCheck(routes, layout=layout, use=head.use, only=KEYS[layout.form], defaults=_DEFAULTS[layout.form]),
    )
    return JobsWanted(head=head, form=layout.form, rows=rows)


def _layout(head: shapes.JobsHead, first: bytes) -> Layout:
    if head.dialect is not None:
        return told_layout(head.dialect, model=head.model)
    return Layout(form=form_told_by(readable_keys(first)) or BatchForm.OPENAI, model=head.model)


def _rows(body: bytes, spans: Sequence[tuple[int, int]], check: RowCheck) -> tuple[Row, ...]:
    seen: set[str] = set()
    rows: list[Row] = []
    problems: list[Problem] = []
    for position, (begin, end) in enumerate(spans):
        row = check.row(Line(position, body[begin:end], True), position)
        if isinstance(row, Row) and row.custom_id in seen:
            row = _duplicate(row)
        if isinstance(row, Problem):
            problems.append(row)
        else:
            seen.add(row.custom_id)
            rows.append(row)
    if problems:
        what = f"{len(problems)} of {len(spans)} jobs cannot be accepted; nothing was started"
        raise MessageRefused("invalid_rows", what, tuple(problems[:SHOWN_PROBLEMS]))
    return tuple(rows)


def _duplicate(row: Row) -> Problem:
    return Problem(
        line=row.line,
        position=row.position,
        code=ProblemCode.DUPLICATE_CUSTOM_ID,
        message="another job of this message has the same custom_id",
        custom_id=row.custom_id,
    )


def _first_fault(error: ValidationError) -> str:
    """The first fault in words, without values; a key that is not ours is a value too."""
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if fault["type"] == "extra_forbidden":
        return "the message has a key that is not known for its kind"
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg']}" if where else fault["msg"]

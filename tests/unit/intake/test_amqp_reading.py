"""A message of jobs is checked like a batch file, and no bytes break the reader."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from broker.domain.form import BatchForm
from broker.domain.job import Endpoint
from broker.intake.amqp import shapes
from broker.intake.amqp.reading import JobsWanted, MessageRefused, read
from broker.intake.jsonl import Row, read_rows
from broker.intake.layout import layout_of
from broker.intake.problems import Problem
from broker.intake.source import opened_source

ROUTES = frozenset({"judge"})
BODY: dict[str, Any] = {"model": "judge", "messages": [{"role": "user", "content": "hi"}]}
LINE: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": BODY}
ENTRY: dict[str, Any] = {"custom_id": "a", "params": BODY | {"max_tokens": 9}}
GEMINI: dict[str, Any] = {"key": "a", "request": {"model": "models/judge", "contents": [{"parts": [{"text": "hi"}]}]}}

ROWS: dict[str, bytes] = {
    "good": orjson.dumps(LINE),
    "embeddings": orjson.dumps(LINE | {"url": "/v1/embeddings", "body": {"model": "judge", "input": "x"}}),
    "escapes and a large number": orjson.dumps(LINE).replace(b'"a"', rb'"\u00e9"').replace(b'"hi"', b"1e400"),
    "half a surrogate pair in the body": orjson.dumps(LINE)[:-1].replace(b'"hi"', rb'"\ud800"') + b"}",
    "no id": orjson.dumps(LINE | {"custom_id": None}),
    "an id that is no string": orjson.dumps(LINE | {"custom_id": 7}),
    "an id with a line feed": orjson.dumps(LINE | {"custom_id": "a\nb"}),
    "an id that is too long": orjson.dumps(LINE | {"custom_id": "a" * 513}),
    "another url": orjson.dumps(LINE | {"url": "/v1/images"}),
    "another method": orjson.dumps(LINE | {"method": "GET"}),
    "a stream": orjson.dumps(LINE | {"body": BODY | {"stream": True}}),
    "an unknown model": orjson.dumps(LINE | {"body": BODY | {"model": "jugde"}}),
    "no model": orjson.dumps(LINE | {"body": {"messages": [1]}}),
    "no messages": orjson.dumps(LINE | {"body": {"model": "judge"}}),
    "no body": orjson.dumps({key: LINE[key] for key in ("custom_id", "method", "url")}),
    "not a number": orjson.dumps(LINE)[:-1].replace(b'"hi"', b"NaN") + b"}",
    "too deep": orjson.dumps(LINE)[:-1].replace(b'"hi"', b"[" * 65 + b"]" * 65) + b"}",
    "just deep enough": orjson.dumps(LINE)[:-1].replace(b'"hi"', b"[" * 59 + b"]" * 59) + b"}",
    "an entry": orjson.dumps(ENTRY),
    "an entry without a limit": orjson.dumps({"custom_id": "a", "params": BODY}),
    "an entry of an unknown model": orjson.dumps({"custom_id": "a", "params": ENTRY["params"] | {"model": "x"}}),
    "a line of Gemini": orjson.dumps(GEMINI),
    "an inline request": orjson.dumps({"request": GEMINI["request"], "metadata": {"key": "a"}}),
    "a line of Gemini without contents": orjson.dumps({"key": "a", "request": {"model": "models/judge"}}),
    "responses": orjson.dumps(LINE | {"url": "/v1/responses", "body": {"model": "judge", "input": "x"}}),
    "no object": b"[1]",
    "a number": b"7",
}


def a_message(*rows: bytes) -> bytes:
    return b'{"version":1,"kind":"jobs","jobs":[' + b",".join(rows) + b"]}"


def from_a_file(row: bytes, folder: Path) -> Row | Problem:
    with opened_source("-", directory=folder, standard_input=io.BytesIO(row)) as source:
        (found,) = read_rows(source, routes=ROUTES, layout=layout_of(source))
    return found


@pytest.mark.parametrize("name", ROWS)
def test_a_job_is_checked_exactly_like_a_line_of_a_file(name: str, tmp_path: Path) -> None:
    expected = from_a_file(ROWS[name], tmp_path)
    if isinstance(expected, Row):
        wanted = read(a_message(ROWS[name]), routes=ROUTES)
        assert isinstance(wanted, JobsWanted)
        (row,) = wanted.rows
        assert (row.custom_id, row.endpoint, row.model, row.body) == (
            expected.custom_id, expected.endpoint, expected.model, expected.body,
        )  # fmt: skip
    else:
        with pytest.raises(MessageRefused) as caught:
            read(a_message(ROWS[name]), routes=ROUTES)
        (problem,) = caught.value.problems
        assert (problem.code, problem.message, problem.custom_id) == (
            expected.code, expected.message, expected.custom_id,
        )  # fmt: skip


def test_the_method_may_be_left_out() -> None:
    line = {key: value for key, value in LINE.items() if key != "method"}
    assert isinstance(read(a_message(orjson.dumps(line)), routes=ROUTES), JobsWanted)


def test_a_job_has_no_keys_of_its_own() -> None:
    with pytest.raises(MessageRefused) as caught:
        read(a_message(orjson.dumps(LINE | {"priority": 1})), routes=ROUTES)
    assert caught.value.problems[0].code == "invalid_field"


def test_a_pretty_printed_body_becomes_one_line() -> None:
    pretty = orjson.dumps(LINE, option=orjson.OPT_INDENT_2)
    wanted = read(a_message(pretty), routes=ROUTES)
    assert isinstance(wanted, JobsWanted)
    assert b"\n" not in wanted.rows[0].body
    assert orjson.loads(wanted.rows[0].body) == BODY


def test_at_most_a_hundred_problems_are_told() -> None:
    with pytest.raises(MessageRefused, match="300 of 300") as caught:
        read(a_message(*[b"1"] * 300), routes=ROUTES)
    assert [problem.position for problem in caught.value.problems] == list(range(100))


GOOD: list[dict[str, Any]] = [
    {"version": 1, "kind": "jobs", "jobs": [LINE]},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "batch": "é b", "tag": "t", "weight": 2, "seal": True},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "batch": "b", "seal_after_s": 0.5},
    {"version": 1, "kind": "jobs", "jobs": [ENTRY, ENTRY | {"custom_id": "b"}]},
    {"version": 1, "kind": "jobs", "jobs": [GEMINI], "on_loss": "fail"},
    {"version": 1, "kind": "jobs", "jobs": [ENTRY], "batch": "b", "on_loss": "drop", "use": "non-commercial"},
    {"version": 1, "kind": "jobs", "jobs": [ENTRY], "dialect": "anthropic-messages", "model": "judge"},
    {"version": 1, "kind": "jobs", "jobs": [{"custom_id": "a", "body": BODY}], "dialect": "openai-chat"},
    {"version": 1, "kind": "jobs", "jobs": [{"key": "a", "request": {"contents": [1]}}], "model": "judge"},
    {"version": 1, "kind": "seal", "batch": "b"},
    {"version": 1, "kind": "subscribe", "name": "n"},
    {"version": 1, "kind": "subscribe", "name": "n", "batch": "standing"},
    {"version": 1, "kind": "unsubscribe", "name": "n"},
]
BAD: list[dict[str, Any]] = [
    {"version": 1, "kind": "jobs", "jobs": [LINE], "weight": "2"},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "weight": 1_001},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "seal": "yes", "batch": "b"},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "seal_after_s": 60},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "seal_after_s": 0, "batch": "b"},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "batch": ""},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "batch": "b" * 201},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "project": "p"},
    {"version": 1, "kind": "jobs", "jobs": []},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "dialect": "openai"},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "dialect": 7},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "batch": "b", "on_loss": "ignore"},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "batch": "b", "use": ""},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "on_loss": "drop"},
    {"version": 1, "kind": "jobs", "jobs": [ENTRY], "batch": "standing-anthropic", "use": "research"},
    {"version": 1, "kind": "jobs", "jobs": [ENTRY], "batch": "standing-gemini", "seal": True},
    {"version": 1, "kind": "jobs", "jobs": [LINE], "model": ""},
    {"version": 1, "kind": "jobs", "jobs": [ENTRY | {"priority": 1}]},
    {"version": 1, "kind": "jobs", "jobs": [GEMINI | {"custom_id": "a"}]},
    {"version": 1, "kind": "jobs", "jobs": [{"request": GEMINI["request"]}]},
    {"version": 1, "kind": "seal"},
    {"version": 1, "kind": "seal", "batch": "standing"},
    {"version": 1, "kind": "seal", "batch": "b", "jobs": [LINE]},
    {"version": 1, "kind": "subscribe", "name": "a.b"},
    {"version": 1, "kind": "unsubscribe", "name": ""},
    {"version": 2, "kind": "seal", "batch": "b"},
    {"version": 1, "kind": "cancel"},
]


@pytest.mark.parametrize("message", GOOD)
def test_what_is_read_is_what_the_document_describes(message: dict[str, Any]) -> None:
    shapes.Submission.model_validate_json(orjson.dumps(message))
    read(orjson.dumps(message), routes=ROUTES)


@pytest.mark.parametrize("message", BAD)
def test_what_is_refused_is_what_the_document_excludes(message: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        shapes.Submission.model_validate_json(orjson.dumps(message))
    with pytest.raises(MessageRefused):
        read(orjson.dumps(message), routes=ROUTES)


@given(st.binary(max_size=300) | st.builds(lambda at: orjson.dumps(GOOD[1])[:at], st.integers(0, 400)))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    with suppress(MessageRefused):
        read(body, routes=ROUTES)


def test_true_is_no_version() -> None:
    with pytest.raises(MessageRefused, match="version must be 1"):
        read(b'{"version":true,"kind":"seal","batch":"b"}', routes=ROUTES)


@pytest.mark.parametrize(
    ("row", "form"), [(LINE, BatchForm.OPENAI), (ENTRY, BatchForm.ANTHROPIC), (GEMINI, BatchForm.GEMINI)]
)
def test_the_first_job_tells_the_form_and_no_other_may_have_another(row: dict[str, Any], form: BatchForm) -> None:
    wanted = read(a_message(orjson.dumps(row)), routes=ROUTES)
    assert isinstance(wanted, JobsWanted)
    assert wanted.form is form
    others = [other for other in (LINE, ENTRY, GEMINI) if other is not row]
    with pytest.raises(MessageRefused) as caught:
        read(a_message(*map(orjson.dumps, (row, *others))), routes=ROUTES)
    assert [(problem.position, problem.code) for problem in caught.value.problems] == [
        (1, "other_form"),
        (2, "other_form"),
    ]


def test_what_the_head_says_stands_for_what_jobs_leave_out() -> None:
    head = b'{"version":1,"kind":"jobs","dialect":"openai-responses","model":"judge","jobs":['
    wanted = read(head + b'{"custom_id":"a","body":{"input":"hi"}}]}', routes=ROUTES)
    assert isinstance(wanted, JobsWanted)
    (row,) = wanted.rows
    assert (row.endpoint, row.model, row.body) == (Endpoint.RESPONSES, "judge", b'{"model":"judge","input":"hi"}')


def test_a_model_under_a_licence_needs_a_message_of_that_use() -> None:
    routes = frozenset({"judge+use:research"})
    message = {"version": 1, "kind": "jobs", "jobs": [ENTRY], "batch": "b"}
    with pytest.raises(MessageRefused):
        read(orjson.dumps(message), routes=routes)
    wanted = read(orjson.dumps(message | {"use": "research"}), routes=routes)
    assert isinstance(wanted, JobsWanted)
    assert wanted.rows[0].model == "judge+use:research"

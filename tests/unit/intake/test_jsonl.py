import json
from pathlib import Path
from typing import Any

import pytest

from broker.domain.job import Endpoint
from broker.errors import CallerError
from broker.intake.forms.fields import MAX_CUSTOM_ID
from broker.intake.jsonl import Row, read_rows
from broker.intake.problems import Problem, ProblemCode
from broker.intake.source import MAX_LINE_BYTES, Source

ROUTES = frozenset({"gpt-5-mini", "gpt-5-mini@azure", "embed-small"})
ABSENT = object()


def a_body(**changes: Any) -> dict[str, Any]:
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hi"}], **changes}
    return {key: value for key, value in body.items() if value is not ABSENT}


def a_row(**changes: Any) -> bytes:
    row = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": a_body(), **changes}
    return json.dumps({key: value for key, value in row.items() if value is not ABSENT}).encode()


def read(directory: Path, content: bytes, routes: frozenset[str] = ROUTES) -> list[Row | Problem]:
    path = directory / "jobs.jsonl"
    path.write_bytes(content)
    return list(read_rows(Source(name="jobs.jsonl", path=path), routes=routes))


def the_problem(directory: Path, line: bytes) -> Problem:
    (problem,) = read(directory, line)
    assert isinstance(problem, Problem)
    return problem


def test_rows_come_with_position_line_and_body_as_written(tmp_path: Path) -> None:
    chat = b'{ "model":"gpt-5-mini@azure", "messages":[1], "seed":12345678901234567890123, "stream":false }'
    embedding = b'{"model":"embed-small","input":["a",""],"stream":null}'
    content = (
        b'\xef\xbb\xbf{"custom_id":" a ","method":"POST","url":"/v1/chat/completions","body":' + chat + b"}\r\n\r\n"
        b'{"body": ' + embedding + b', "url":"/v1/embeddings", "custom_id":"\\u00e9\\"", "method":"POST", "other":{}}'
    )
    assert read(tmp_path, content) == [
        Row(
            position=0,
            line=1,
            custom_id=" a ",
            endpoint=Endpoint.CHAT_COMPLETIONS,
            model="gpt-5-mini@azure",
            body=chat,
        ),
        Row(position=1, line=3, custom_id='é"', endpoint=Endpoint.EMBEDDINGS, model="embed-small", body=embedding),
    ]


def test_bad_rows_have_a_position_too(tmp_path: Path) -> None:
    found = read(tmp_path, a_row() + b"\n\nnonsense\n" + a_row(custom_id="b") + b"\n")
    assert [(type(row), row.position, row.line) for row in found] == [(Row, 0, 1), (Problem, 1, 3), (Row, 2, 4)]


@pytest.mark.parametrize("content", [b"", b"\n\r\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CallerError, match=r"jobs\.jsonl is empty: it has no rows; write one JSON object per line"):
        read(tmp_path, content)


MISSING, INVALID = ProblemCode.MISSING_FIELD, ProblemCode.INVALID_FIELD


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (a_row(method=ABSENT), MISSING, "method is missing"),
        (a_row(method=None), MISSING, "method is null"),
        (a_row(method="post"), INVALID, 'method must be "POST"'),
        (a_row(method=["POST"]), INVALID, 'method must be "POST"'),
        (a_row(url=ABSENT), MISSING, "url is missing"),
        (
            a_row(url="/v1/responses\x1b"),
            ProblemCode.UNKNOWN_URL,
            'url cannot be "/v1/responses\\x1b"; it must be one of /v1/chat/completions, /v1/responses, /v1/embeddings',
        ),
        (
            a_row(url={}),
            ProblemCode.UNKNOWN_URL,
            "url cannot be that; it must be one of /v1/chat/completions, /v1/responses, /v1/embeddings",
        ),
        (a_row(body=ABSENT), MISSING, "body is missing"),
        (a_row(body="text"), INVALID, "body must be an object"),
        (a_row(body=[]), INVALID, "body must be an object"),
        (a_row(body=a_body(model=ABSENT)), MISSING, "body.model is missing, and no model was said for all rows"),
        (a_row(body=a_body(model="")), INVALID, "body.model must be a string that is not empty"),
        (a_row(body=a_body(model=5)), INVALID, "body.model must be a string that is not empty"),
        (a_row(body=a_body(messages=ABSENT)), MISSING, "body.messages is missing"),
        (a_row(body=a_body(messages=[])), INVALID, "body.messages must be an array that is not empty"),
        (a_row(body=a_body(messages="hi")), INVALID, "body.messages must be an array that is not empty"),
        (a_row(url="/v1/embeddings"), MISSING, "body.input is missing"),
        (a_row(url="/v1/embeddings", body=a_body(input=None)), MISSING, "body.input is null"),
        (
            a_row(body=a_body(stream=True)),
            ProblemCode.STREAM_REFUSED,
            "body.stream must be false or left out: a batch has no streams",
        ),
        (
            a_row(body=a_body(stream=1)),
            ProblemCode.STREAM_REFUSED,
            "body.stream must be false or left out: a batch has no streams",
        ),
    ],
)
def test_a_bad_field_is_named_and_the_custom_id_kept(
    tmp_path: Path, line: bytes, code: ProblemCode, message: str
) -> None:
    assert the_problem(tmp_path, line) == Problem(line=1, position=0, code=code, message=message, custom_id="a")


@pytest.mark.parametrize(
    ("custom_id", "message"),
    [
        (ABSENT, "custom_id is missing"),
        (None, "custom_id is null"),
        ("", "custom_id must not be empty"),
        (7, "custom_id must be a string"),
        ("x" * (MAX_CUSTOM_ID + 1), "custom_id is longer than 512 characters"),
        ("a\0b", 'custom_id has a control character or half a surrogate pair: "a\\x00b"'),
        ("a\nb", 'custom_id has a control character or half a surrogate pair: "a\\nb"'),
        ("\x9b31m", 'custom_id has a control character or half a surrogate pair: "\\x9b31m"'),
        ("\ud800", 'custom_id has a control character or half a surrogate pair: "\\ud800"'),
    ],
)
def test_a_custom_id_that_cannot_be_used_is_not_passed_on(tmp_path: Path, custom_id: Any, message: str) -> None:
    problem = the_problem(tmp_path, a_row(custom_id=custom_id))
    assert problem.message == message
    assert problem.custom_id is None


@pytest.mark.parametrize("custom_id", ["x" * MAX_CUSTOM_ID, "😀\u2028\u202e", "   ", "null"])
def test_any_other_custom_id_is_kept_as_it_is(tmp_path: Path, custom_id: str) -> None:
    (row,) = read(tmp_path, a_row(custom_id=custom_id))
    assert row.custom_id == custom_id


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"custom_id":"a","body":{"x":"\xff"}}', ProblemCode.INVALID_UTF8),
        (b'{"custom_id":"a","body":{"x":1}', ProblemCode.INVALID_JSON),
        (b'{"custom_id":"a","body":{"x":NaN}}', ProblemCode.INVALID_JSON),
        (b'{"custom_id":"a","body":' + b"[" * 70 + b"]" * 70 + b"}", ProblemCode.TOO_DEEP),
        (b'{"custom_id":"a","body":"' + b"x" * MAX_LINE_BYTES + b'"}', ProblemCode.LINE_TOO_LONG),
    ],
)
def test_an_unreadable_row_still_gives_its_custom_id(tmp_path: Path, line: bytes, code: ProblemCode) -> None:
    found = read(tmp_path, line + b"\n" + a_row(custom_id="next"))
    assert isinstance(found[0], Problem)
    assert (found[0].code, found[0].custom_id) == (code, "a")
    assert isinstance(found[1], Row)
    assert (found[1].position, found[1].line) == (1, 2)


@pytest.mark.parametrize("text", [b'"\\ud800"', b'"\\u0000"', b"1e999", b"9" * 5000])
def test_what_json_allows_in_a_body_is_accepted(tmp_path: Path, text: bytes) -> None:
    body = b'{"model":"gpt-5-mini","messages":[' + text + b"]}"
    line = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":' + body + b"}"
    (row,) = read(tmp_path, line)
    assert isinstance(row, Row)
    assert row.body == body


def test_an_unknown_model_names_the_nearest_ones(tmp_path: Path) -> None:
    problem = the_problem(tmp_path, a_row(body=a_body(model="gpt5-mini")))
    assert problem.code is ProblemCode.UNKNOWN_MODEL
    assert problem.model == "gpt5-mini"
    assert problem.message.startswith('no account serves the model "gpt5-mini"; did you mean "gpt-5-mini"')


def test_an_unknown_model_like_no_other_gets_the_known_ones(tmp_path: Path) -> None:
    problem = the_problem(tmp_path, a_row(body=a_body(model="zzzzzz\x1b")))
    assert problem.message == (
        'no account serves the model "zzzzzz\\x1b"; known are "embed-small", "gpt-5-mini"'
    )  # fmt: skip


def test_without_any_account_the_model_alone_is_named(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, a_row(), routes=frozenset())
    assert isinstance(problem, Problem)
    assert problem.message == 'no account serves the model "gpt-5-mini"'


def test_hints_are_worked_out_for_the_first_hundred_names_only(tmp_path: Path) -> None:
    content = b"\n".join(a_row(body=a_body(model=f"gpt-5-min{i}")) for i in range(150))
    found = [row for row in read(tmp_path, content) if isinstance(row, Problem)]
    assert len(found) == 150
    assert all("did you mean" in problem.message for problem in found[:100])
    assert found[149].message == 'no account serves the model "gpt-5-min149"'

"""Rows of every vendor's batch API: what is accepted, and what is wrong with the others."""

import json
from pathlib import Path
from typing import Any

import pytest

from broker.domain.dialect import Dialect
from broker.domain.form import BatchForm
from broker.domain.job import Endpoint
from broker.intake.jsonl import Row, RowCheck, read_rows
from broker.intake.layout import Layout, told_layout
from broker.intake.problems import Problem, ProblemCode
from broker.intake.source import Line, Source

ROUTES = frozenset({"m", "m@home", "n", "licensed+use:research"})
SAID = [{"role": "user", "content": "hi"}]
CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
CONTENT = {"parts": [{"text": "hi"}]}
OPENAI, ANTHROPIC, GEMINI = (Layout(form=form) for form in BatchForm)
MISSING, INVALID = ProblemCode.MISSING_FIELD, ProblemCode.INVALID_FIELD


def openai(url: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": "a", "method": "POST", "url": url, "body": {"model": "m"} | body}


def anthropic(**params: Any) -> dict[str, Any]:
    return {"custom_id": "a", "params": {"model": "m", "max_tokens": 9, "messages": SAID} | params}


def gemini(**request: Any) -> dict[str, Any]:
    return {"key": "a", "request": {"model": "models/m"} | request}


def without(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys}


def checked(row: Any, layout: Layout, use: str | None = None) -> Row | Problem:
    return RowCheck(ROUTES, layout=layout, use=use).row(Line(1, json.dumps(row).encode(), True), 0)


@pytest.mark.parametrize(
    ("row", "layout", "endpoint"),
    [
        (openai("/v1/responses", input="hi"), OPENAI, Endpoint.RESPONSES),
        (openai("/v1/responses", input=SAID, background=False), OPENAI, Endpoint.RESPONSES),
        (openai("/v1/responses", prompt={"id": "p"}), OPENAI, Endpoint.RESPONSES),
        (openai("/v1/chat/completions", messages=SAID), OPENAI, Endpoint.CHAT_COMPLETIONS),
        (anthropic(stream=False), ANTHROPIC, Endpoint.MESSAGES),
        (gemini(contents=CONTENTS), GEMINI, Endpoint.GENERATE_CONTENT),
        (gemini(content=CONTENT), GEMINI, Endpoint.EMBED_CONTENT),
        (gemini(requests=[{"content": CONTENT}, {"model": "models/m", "content": CONTENT}]), GEMINI,
         Endpoint.BATCH_EMBED_CONTENTS),
        ({"request": gemini(contents=CONTENTS)["request"], "metadata": {"key": "a"}}, GEMINI,
         Endpoint.GENERATE_CONTENT),
        ({"request": {"requests": [{"model": "m", "content": CONTENT}]}, "key": "a"}, GEMINI,
         Endpoint.BATCH_EMBED_CONTENTS),
    ],
)  # fmt: skip
def test_a_row_of_each_form_is_accepted_with_its_request_as_written(
    row: dict[str, Any], layout: Layout, endpoint: Endpoint
) -> None:
    request = next(row[key] for key in ("body", "params", "request") if key in row)
    assert checked(row, layout) == Row(
        position=0, line=1, custom_id="a", endpoint=endpoint, model="m", body=json.dumps(request).encode()
    )


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        (openai("/v1/responses"), MISSING, "body.input is missing"),
        (openai("/v1/responses", input=[]), INVALID, "body.input must be a string, or an array that is not empty"),
        (openai("/v1/responses", input={"a": 1}), INVALID, "body.input must be a string, or an array"),
        (openai("/v1/responses", input="hi", background=True), INVALID, "body.background must be false or left out"),
        (openai("/v1/responses", input="hi", stream=True), ProblemCode.STREAM_REFUSED, "body.stream must be false"),
        (openai("/v1/messages"), ProblemCode.UNKNOWN_URL, 'url cannot be "/v1/messages"'),
        (without(openai("/v1/responses", input="hi"), "url"), MISSING, "url is missing"),
    ],
)
def test_what_is_wrong_with_a_line_of_openai_is_said(row: Any, code: ProblemCode, message: str) -> None:
    assert_problem(checked(row, OPENAI), code, message)


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        (anthropic(messages=[]), INVALID, "params.messages must be an array that is not empty"),
        (anthropic(messages=None), MISSING, "params.messages is null"),
        (anthropic(max_tokens=None), MISSING, "params.max_tokens is null"),
        (anthropic(max_tokens=0), INVALID, "params.max_tokens must be a whole number, 1 or more"),
        (anthropic(max_tokens=True), INVALID, "params.max_tokens must be a whole number, 1 or more"),
        (anthropic(max_tokens=1.5), INVALID, "params.max_tokens must be a whole number, 1 or more"),
        (anthropic(stream=True), ProblemCode.STREAM_REFUSED, "params.stream must be false or left out"),
        (anthropic(model=None), MISSING, "params.model is null"),
        (anthropic(model=7), INVALID, "params.model must be a string that is not empty"),
        (anthropic(model="x"), ProblemCode.UNKNOWN_MODEL, 'no account serves the model "x"'),
        ({"custom_id": "a"}, MISSING, "params is missing"),
        ({"custom_id": "a", "params": [1]}, INVALID, "params must be an object"),
    ],
)
def test_what_is_wrong_with_an_entry_of_anthropic_is_said(row: Any, code: ProblemCode, message: str) -> None:
    assert_problem(checked(row, ANTHROPIC), code, message)


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        (gemini(), MISSING, "request.contents is missing"),
        (gemini(contents=[]), INVALID, "request.contents must be an array that is not empty"),
        (gemini(content="hi"), INVALID, "request.content must be an object"),
        (gemini(requests=[]), INVALID, "request.requests must be an array that is not empty"),
        (gemini(requests=[{"content": CONTENT}, {}]), MISSING, "request.requests[1].content is missing"),
        (gemini(requests=["hi"]), INVALID, "request.requests[0] must be an object"),
        (gemini(requests=[{"model": "n", "content": CONTENT}]), INVALID, "request.requests name several models"),
        (gemini(contents=CONTENTS, model=""), INVALID, "request.model must be a string that is not empty"),
        (gemini(contents=CONTENTS, model="models/x"), ProblemCode.UNKNOWN_MODEL, 'no account serves the model "x"'),
        ({"key": "a", "request": {"contents": CONTENTS}}, MISSING, "request.model is missing"),
        ({"key": "a", "request": "hi"}, INVALID, "request must be an object"),
        ({"key": "a"}, MISSING, "request is missing"),
    ],
)
def test_what_is_wrong_with_a_line_of_gemini_is_said(row: Any, code: ProblemCode, message: str) -> None:
    assert_problem(checked(row, GEMINI), code, message)


def assert_problem(found: Row | Problem, code: ProblemCode, message: str) -> None:
    assert isinstance(found, Problem), found
    assert (found.code, found.custom_id) == (code, "a")
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    ("row", "layout", "message"),
    [
        ({"request": {"contents": CONTENTS}}, GEMINI, "key is missing"),
        ({"request": {"contents": CONTENTS}, "metadata": {}}, GEMINI, "key is missing"),
        ({"request": {"contents": CONTENTS}, "metadata": {"key": 7}}, GEMINI, "metadata.key must be a string"),
        ({"request": {"contents": CONTENTS}, "key": ""}, GEMINI, "key must not be empty"),
        ({"params": anthropic()["params"]}, ANTHROPIC, "custom_id is missing"),
    ],
)
def test_a_row_without_a_usable_name_is_refused_under_what_its_form_calls_it(
    row: Any, layout: Layout, message: str
) -> None:
    found = checked(row, layout)
    assert isinstance(found, Problem)
    assert (found.message, found.custom_id) == (message, None)


def test_the_key_of_a_line_that_is_broken_is_kept() -> None:
    line = Line(4, b'{"key":"a","request":{"contents":[}', True)
    found = RowCheck(ROUTES, layout=GEMINI).row(line, 3)
    assert isinstance(found, Problem)
    assert (found.code, found.custom_id, found.position) == (ProblemCode.INVALID_JSON, "a", 3)


FORMS: dict[BatchForm, dict[str, Any]] = {
    BatchForm.OPENAI: openai("/v1/chat/completions", messages=SAID),
    BatchForm.ANTHROPIC: anthropic(),
    BatchForm.GEMINI: gemini(contents=CONTENTS),
}


@pytest.mark.parametrize("given", BatchForm)
@pytest.mark.parametrize("asked", BatchForm)
def test_a_row_of_another_form_is_named_as_such(given: BatchForm, asked: BatchForm) -> None:
    found = checked(FORMS[given], Layout(form=asked))
    if given is asked:
        assert isinstance(found, Row)
        return
    assert isinstance(found, Problem)
    assert found.code is ProblemCode.OTHER_FORM
    assert str(given) in found.message.lower()
    assert str(asked) in found.message.lower()


@pytest.mark.parametrize("form", BatchForm)
def test_a_model_said_for_the_batch_stands_for_those_left_out_and_for_no_others(form: BatchForm) -> None:
    layout = Layout(form=form, model="m")
    row = FORMS[form]
    key = next(key for key in ("body", "params", "request") if key in row)
    unnamed = row | {key: without(row[key], "model")}
    found = checked(unnamed, layout)
    assert isinstance(found, Row)
    assert found.model == "m"
    put_in = {} if form is BatchForm.GEMINI else {"model": "m"}
    assert json.loads(found.body) == unnamed[key] | put_in
    assert isinstance(checked(row, layout), Row)
    other = checked(row, Layout(form=form, model="n"))
    assert isinstance(other, Problem)
    assert other.message == f'{key}.model is "m", and the batch was submitted for "n"'


@pytest.mark.parametrize(
    ("dialect", "row", "endpoint"),
    [
        (Dialect.OPENAI_CHAT, {"messages": SAID}, Endpoint.CHAT_COMPLETIONS),
        (Dialect.OPENAI_RESPONSES, {"input": "hi"}, Endpoint.RESPONSES),
        (Dialect.OPENAI_EMBEDDINGS, {"input": "hi"}, Endpoint.EMBEDDINGS),
    ],
)
def test_a_dialect_that_is_told_stands_for_the_url_that_is_left_out(
    dialect: Dialect, row: dict[str, Any], endpoint: Endpoint
) -> None:
    layout = told_layout(dialect)
    found = checked({"custom_id": "a", "body": {"model": "m"} | row}, layout)
    assert isinstance(found, Row)
    assert found.endpoint is endpoint
    named = checked(openai("/v1/embeddings", input="hi"), layout)
    assert isinstance(named, Row)
    assert named.endpoint is Endpoint.EMBEDDINGS
    assert isinstance(checked(openai("/v1/embeddings", input="hi") | {"method": "GET"}, layout), Problem)


def test_a_model_under_a_licence_is_for_batches_of_that_use() -> None:
    row = anthropic(model="licensed")
    served = checked(row, ANTHROPIC, use="research")
    assert isinstance(served, Row)
    assert served.model == "licensed+use:research"
    refused = checked(row, ANTHROPIC)
    assert isinstance(refused, Problem)
    assert (refused.code, refused.model) == (ProblemCode.UNKNOWN_MODEL, "licensed")
    assert "submit it with --use research" in refused.message


def test_what_a_row_is_for_is_said_by_its_batch_alone() -> None:
    assert isinstance(checked(anthropic(model="licensed+use:research"), ANTHROPIC, use="research"), Problem)


def test_one_bad_form_does_not_spoil_the_rows_around_it(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    rows = [FORMS[BatchForm.ANTHROPIC], FORMS[BatchForm.OPENAI], FORMS[BatchForm.ANTHROPIC]]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = list(read_rows(Source(name="jobs", path=path), routes=ROUTES, layout=ANTHROPIC))
    assert [(type(row), row.position, row.line) for row in found] == [(Row, 0, 1), (Problem, 1, 2), (Row, 2, 3)]

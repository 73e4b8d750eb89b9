"""Results in the forms of Anthropic's and Gemini's batches, as their SDKs read them."""

import json
from typing import Any

import pytest
from anthropic.types.messages import MessageBatchIndividualResponse
from google.genai import types as genai

from broker.delivery.result_lines import is_error, writer_of
from broker.domain.attempt import ErrorClass
from broker.domain.form import BatchForm
from broker.domain.result import ResultLine, ResultState
from tests.unit.delivery.results import a_failed_line, a_line

MESSAGE = (
    b'{"id": "msg_1", "type": "message", "role": "assistant", "model": "m", '
    b'"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "stop_sequence": null, '
    b'"usage": {"input_tokens": 1, "output_tokens": 2}}'
)
GENERATED = (
    b'{"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, '
    b'"finishReason": "STOP", "avgLogprobs": -0.50}]}'
)
REFUSED = b'{"type": "error", "error": {"type": "not_found_error", "message": "gone"}, "request_id": "req_9"}'
REJECTED = b'{"error": {"code": 404, "message": "gone", "status": "NOT_FOUND", "x": 1.50}}'
WARNINGS = '[{"code":"dropped","path":"/seed","detail":"no seed","class":"sampling"}]'


def anthropic(line: ResultLine) -> dict[str, Any]:
    written = writer_of(BatchForm.ANTHROPIC)(line)
    MessageBatchIndividualResponse.model_validate_json(written, strict=False)
    return one(written)


def gemini(line: ResultLine) -> dict[str, Any]:
    return one(writer_of(BatchForm.GEMINI)(line))


def one(written: bytes) -> dict[str, Any]:
    assert written.endswith(b"}\n")
    assert written.count(b"\n") == 1
    value: dict[str, Any] = json.loads(written)
    return value


def test_an_answer_of_anthropics_form_is_passed_on_byte_for_byte() -> None:
    line = a_line(body=MESSAGE)
    assert b'"message":' + MESSAGE + b"}}" in writer_of(BatchForm.ANTHROPIC)(line)
    assert anthropic(line) == {
        "custom_id": "row-7",
        "result": {"type": "succeeded", "message": json.loads(MESSAGE)},
    }


def test_an_error_that_was_told_in_anthropics_words_is_passed_on_byte_for_byte() -> None:
    line = a_failed_line("not_found_error", status=404, body=REFUSED)
    assert b'"error":' + REFUSED + b"}}" in writer_of(BatchForm.ANTHROPIC)(line)
    assert anthropic(line)["result"] == {"type": "errored", "error": json.loads(REFUSED)}


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("missing_field", None, "invalid_request_error"),
        ("unknown_model", None, "not_found_error"),
        (ErrorClass.UNTRANSLATABLE, None, "invalid_request_error"),
        (ErrorClass.RATE_LIMITED, 429, "rate_limit_error"),
        (ErrorClass.OUTCOME_UNKNOWN, None, "api_error"),
        (ErrorClass.AUTHENTICATION, 401, "authentication_error"),
        ("result_too_large", 200, "api_error"),
        ("some_code", 400, "invalid_request_error"),
        ("some_code", 502, "api_error"),
    ],
)
def test_an_error_of_ours_is_told_as_anthropic_would(code: str, status: int | None, kind: str) -> None:
    for body in (None, b"<html>\nno</html>", b'{"error":"text"}', b'{"cut'):
        found = anthropic(a_failed_line(code, "why not", status=status, body=body, request_id="req_3"))
        assert found["result"] == {
            "type": "errored",
            "error": {
                "type": "error",
                "error": {"type": kind, "message": f"why not ({code})"},
                "request_id": "req_3",
            },
        }


@pytest.mark.parametrize(("state", "kind"), [(ResultState.CANCELLED, "canceled"), (ResultState.EXPIRED, "expired")])
def test_what_was_never_run_has_a_type_of_its_own(state: ResultState, kind: str) -> None:
    line = a_failed_line("batch_cancelled", state=state)
    assert anthropic(line) == {"custom_id": "row-7", "result": {"type": kind}}
    assert is_error(line)


def test_an_answer_that_is_too_large_to_be_sent_is_an_error_in_every_form() -> None:
    line = a_line(body=None, error_code="result_too_large", error_message="elsewhere")
    assert anthropic(line)["result"]["type"] == "errored"
    assert gemini(line)["error"]["message"] == "elsewhere (result_too_large)"


def test_an_answer_of_geminis_form_is_passed_on_byte_for_byte() -> None:
    line = a_line(body=GENERATED)
    assert writer_of(BatchForm.GEMINI)(line) == b'{"key":"row-7","response":' + GENERATED + b"}\n"
    genai.GenerateContentResponse.model_validate(json.loads(GENERATED))


def test_an_error_that_was_told_in_geminis_words_is_passed_on_byte_for_byte() -> None:
    line = a_failed_line("NOT_FOUND", status=404, body=REJECTED)
    inner = REJECTED.removeprefix(b'{"error": ').removesuffix(b"}")
    assert writer_of(BatchForm.GEMINI)(line) == b'{"key":"row-7","error":' + inner + b"}\n"


def test_of_an_error_body_with_more_in_it_the_error_is_what_counts() -> None:
    body = b'{"error": 1, "error": {"code": 404, "message": "gone"}, "seen": {"code": 1}}'
    assert gemini(a_failed_line("x", status=404, body=body))["error"] == {"code": 404, "message": "gone"}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("missing_field", (400, "INVALID_ARGUMENT")),
        ("unknown_model", (404, "NOT_FOUND")),
        (ErrorClass.DAILY_QUOTA, (429, "RESOURCE_EXHAUSTED")),
        (ErrorClass.OUTCOME_UNKNOWN, (500, "INTERNAL")),
    ],
)
def test_an_error_of_ours_is_told_as_gemini_would(code: str, told: tuple[int, str]) -> None:
    for body in (None, b"<html>\nno</html>", b'{"error":{"message":"of another form"}}'):
        error = gemini(a_failed_line(code, "why not", body=body))["error"]
        assert (error["code"], error["status"]) == told
        assert error["message"] == f"why not ({code})"
        genai.JobError.model_validate({"code": error["code"], "message": error["message"]})


@pytest.mark.parametrize(
    ("state", "status"), [(ResultState.CANCELLED, "CANCELLED"), (ResultState.EXPIRED, "DEADLINE_EXCEEDED")]
)
def test_a_line_that_gemini_never_ran_says_so(state: ResultState, status: str) -> None:
    assert gemini(a_failed_line("x", state=state))["error"]["status"] == status


@pytest.mark.parametrize("form", [BatchForm.ANTHROPIC, BatchForm.GEMINI])
@pytest.mark.parametrize("body", [MESSAGE, None])
def test_what_was_lost_in_translation_stands_beside_the_result(form: BatchForm, body: bytes | None) -> None:
    line = a_line(body=body) if body else a_failed_line("untranslatable")
    write = writer_of(form)
    assert "warnings" not in one(write(line))
    assert one(write(line._replace(warnings=WARNINGS)))["warnings"] == json.loads(WARNINGS)


@pytest.mark.parametrize("form", BatchForm)
@pytest.mark.parametrize("name", ['with "quotes"', "line\nfeed", "Zürich", None])
def test_every_name_is_kept_in_every_form(form: BatchForm, name: str | None) -> None:
    found = one(writer_of(form)(a_line(custom_id=name, body=b'{"a":\r\n 1}\n')))
    assert found["key" if form is BatchForm.GEMINI else "custom_id"] == name

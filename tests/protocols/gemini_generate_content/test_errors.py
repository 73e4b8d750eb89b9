"""Errors as Gemini would tell them; how its own are understood is in the corpus."""

from typing import Any

import orjson
import pytest

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.protocols.gemini_generate_content import CODEC

KEPT = {
    ErrorClass.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED"),
    ErrorClass.AUTHENTICATION: (401, "UNAUTHENTICATED"),
    ErrorClass.PERMISSION: (403, "PERMISSION_DENIED"),
    ErrorClass.NOT_FOUND: (404, "NOT_FOUND"),
    ErrorClass.INVALID_REQUEST: (400, "INVALID_ARGUMENT"),
    ErrorClass.OVERLOADED: (503, "UNAVAILABLE"),
    ErrorClass.SERVER_ERROR: (500, "INTERNAL"),
    ErrorClass.TIMEOUT: (504, "DEADLINE_EXCEEDED"),
}


def error(error_class: ErrorClass, **more: Any) -> CallError:
    return CallError(error_class=error_class, scope=Scope.SAME, message="it went wrong", **more)


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_every_error_is_told_in_the_shape_of_google(error_class: ErrorClass) -> None:
    status, body = CODEC.write_error(error(error_class))
    told: Any = body["error"]
    assert told["code"] == status >= 400
    assert told["message"] == "it went wrong"
    assert told["status"].isupper()
    assert told["details"][0]["reason"] == error_class.value.upper()


@pytest.mark.parametrize(("error_class", "expected"), KEPT.items())
def test_an_error_that_we_tell_is_understood_as_the_same(error_class: ErrorClass, expected: tuple[int, str]) -> None:
    status, body = CODEC.write_error(error(error_class))
    assert (status, body["error"]["status"]) == expected  # type: ignore[index]  # an object
    assert CODEC.error_of(status, {}, orjson.dumps(body), now=0.0).error_class is error_class


@pytest.mark.parametrize(
    ("error_class", "expected"),
    [
        (ErrorClass.SPEND, 429),
        (ErrorClass.DAILY_QUOTA, 429),
        (ErrorClass.TOO_LARGE, 400),
        (ErrorClass.UNTRANSLATABLE, 400),
        (ErrorClass.CONTENT_FILTER, 400),
        (ErrorClass.MALFORMED_ANSWER, 500),
        (ErrorClass.OUTCOME_UNKNOWN, 500),
        (ErrorClass.CONNECTION, 503),
    ],
)
def test_statuses(error_class: ErrorClass, expected: int) -> None:
    assert CODEC.write_error(error(error_class))[0] == expected


def test_a_wait_goes_there_and_back() -> None:
    status, body = CODEC.write_error(error(ErrorClass.RATE_LIMITED, wait_s=37.25))
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.250s"} in body["error"]["details"]  # type: ignore[index]  # an object
    assert CODEC.error_of(status, {}, orjson.dumps(body), now=0.0).wait_s == 37.25


def test_a_key_in_a_message_is_masked() -> None:
    body = {
        "error": {"code": 400, "message": "API key AIzaSyA1234567890abcdefghij not valid", "status": "INVALID_ARGUMENT"}
    }
    found = CODEC.error_of(400, {}, orjson.dumps(body), now=0.0)
    assert "AIza" not in found.message


def test_the_reason_is_the_code_that_is_kept() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    body = {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT", "details": details}}
    assert CODEC.error_of(400, {}, orjson.dumps(body), now=0.0).code == "API_KEY_INVALID"
    del body["error"]["details"]
    assert CODEC.error_of(400, {}, orjson.dumps(body), now=0.0).code == "INVALID_ARGUMENT"

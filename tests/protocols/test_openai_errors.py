from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.protocols.openai_errors import error_of

NOW = 1_790_000_000.0
E = ErrorClass


def error(status: int, body: Any = b"", **headers: str) -> CallError:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return error_of(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw, now=NOW)


def nested(message: str = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None} | more}


@pytest.mark.parametrize(
    ("status", "code", "scope"),
    [
        (429, "rate_limit_exceeded", Scope.SAME),
        (429, "insufficient_quota", Scope.OTHER),
        (401, None, Scope.OTHER),
        (403, None, Scope.OTHER),
        (404, "model_not_found", Scope.OTHER),
        (400, None, Scope.NEVER),
        (400, "context_length_exceeded", Scope.NEVER),
        (400, "content_filter", Scope.NEVER),
        (413, None, Scope.NEVER),
        (500, None, Scope.SAME),
        (503, None, Scope.SAME),
        (408, None, Scope.SAME),
    ],
)
def test_each_error_says_where_to_try_again(status: int, code: str | None, scope: Scope) -> None:
    assert error(status, nested(code=code)).scope is scope


def test_a_request_larger_than_the_limit_may_fit_another_account() -> None:
    assert error(429, nested("Request too large: Limit 100, Requested 200")).scope is Scope.OTHER


@pytest.mark.parametrize(
    ("status", "code", "advice", "scope"),
    [
        (500, None, "false", Scope.NEVER),
        (503, None, "false", Scope.NEVER),
        (429, None, "false", Scope.OTHER),
        (400, None, "true", Scope.SAME),
        (404, None, "true", Scope.SAME),
        (400, "content_filter", "true", Scope.NEVER),
        (429, "insufficient_quota", "true", Scope.OTHER),
        (500, None, "true", Scope.SAME),
        (500, None, "maybe", Scope.SAME),
    ],
)
def test_the_providers_advice_on_retrying_is_heard(status: int, code: str | None, advice: str, scope: Scope) -> None:
    assert error(status, nested(code=code), x_should_retry=advice).scope is scope


@pytest.mark.parametrize(
    ("headers", "message", "wait_s"),
    [
        ({"retry_after": "12"}, "no", 12.0),
        ({"retry_after_ms": "250", "retry_after": "12"}, "no", 0.25),
        ({}, "Rate limit reached. Please try again in 41.724s.", 41.724),
        ({"retry_after": "2"}, "Please try again in 41.724s.", 2.0),
        ({"retry_after": "soon"}, "Please try again in 1s.", 1.0),
        ({}, "no", None),
    ],
)
def test_the_wait_is_the_providers_hint(headers: dict[str, str], message: str, wait_s: float | None) -> None:
    assert error(429, nested(message, code="rate_limit_exceeded"), **headers).wait_s == wait_s


def test_a_hint_on_an_empty_wallet_means_nothing() -> None:
    assert error(429, nested("try again in 3s", code="insufficient_quota"), retry_after="3").wait_s is None


def test_words_about_waiting_in_an_invalid_request_are_no_hint() -> None:
    assert error(400, nested("your prompt said: try again in 900s")).wait_s is None


def test_the_providers_code_is_kept_verbatim() -> None:
    assert error(400, nested(code="Odd_Code", type="t")).code == "Odd_Code"
    assert error(400, nested(type="invalid_request_error")).code == "invalid_request_error"
    assert error(400, {"object": "error", "message": "m", "code": 40001}).code == "40001"
    assert error(400, b"plain").code is None


def test_messages_are_redacted_and_cut() -> None:
    found = error(401, nested("Incorrect API key provided: sk-CANARY0123456789. " + "x" * 2000))
    assert "CANARY" not in found.message
    assert len(found.message) == 500


def test_a_page_in_place_of_an_error_is_its_own_message() -> None:
    assert error(502, b"<html>\nBad Gateway</html>").message == "<html> Bad Gateway</html>"


def test_an_oversized_error_is_not_parsed() -> None:
    body = orjson.dumps(nested("x" * 2_000_000, code="insufficient_quota"))
    assert error(429, body).error_class is E.RATE_LIMITED


@given(st.integers(100, 599), st.binary(max_size=300), st.dictionaries(st.just("retry-after"), st.text(max_size=20)))
def test_nothing_makes_it_fail(status: int, body: bytes, headers: dict[str, str]) -> None:
    found = error_of(status, headers, body, now=NOW)
    assert len(found.message) <= 500


scalars = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(max_size=8) | st.lists(st.integers(0, 3))
objects = st.dictionaries(st.sampled_from(["message", "code", "type", "error", "detail", "innererror"]), scalars)


@given(st.sampled_from([200, 400, 404, 429, 500]), objects, st.booleans())
def test_no_error_object_makes_it_fail(status: int, value: dict[str, Any], inside: bool) -> None:
    body = {"error": value} if inside else value
    assert error_of(status, {}, orjson.dumps(body), now=NOW).message

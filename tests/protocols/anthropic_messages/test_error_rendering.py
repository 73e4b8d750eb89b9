"""Errors are told to producers as Anthropic's own API tells them."""

import json

import pytest
from anthropic.types.shared import ErrorResponse

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.protocols.anthropic_messages import CODEC

NOT_TYPED = {"request_too_large"}
"""Documented, and not among the SDK's types."""


def an_error(error_class: ErrorClass) -> CallError:
    return CallError(error_class=error_class, scope=Scope.SAME, message="what happened", status=418, code="theirs")


@pytest.mark.parametrize("error_class", ErrorClass)
def test_every_class_has_a_type_and_a_status(error_class: ErrorClass) -> None:
    status, body = CODEC.write_error(an_error(error_class))
    assert 400 <= status < 600
    inner = body["error"]
    assert isinstance(inner, dict)
    assert inner["message"] == "what happened"
    if inner["type"] not in NOT_TYPED:
        ErrorResponse.model_validate_json(json.dumps(body), strict=True)


@pytest.mark.parametrize(
    ("error_class", "status", "kind"),
    [
        (ErrorClass.INVALID_REQUEST, 400, "invalid_request_error"),
        (ErrorClass.CONTENT_FILTER, 400, "invalid_request_error"),
        (ErrorClass.UNTRANSLATABLE, 400, "invalid_request_error"),
        (ErrorClass.AUTHENTICATION, 401, "authentication_error"),
        (ErrorClass.SPEND, 402, "billing_error"),
        (ErrorClass.DAILY_QUOTA, 402, "billing_error"),
        (ErrorClass.PERMISSION, 403, "permission_error"),
        (ErrorClass.NOT_FOUND, 404, "not_found_error"),
        (ErrorClass.TOO_LARGE, 413, "request_too_large"),
        (ErrorClass.RATE_LIMITED, 429, "rate_limit_error"),
        (ErrorClass.RAMP, 429, "rate_limit_error"),
        (ErrorClass.SERVER_ERROR, 500, "api_error"),
        (ErrorClass.OUTCOME_UNKNOWN, 500, "api_error"),
        (ErrorClass.TIMEOUT, 504, "timeout_error"),
        (ErrorClass.OVERLOADED, 529, "overloaded_error"),
    ],
)
def test_errors_are_named_in_anthropic_s_words(error_class: ErrorClass, status: int, kind: str) -> None:
    told, body = CODEC.write_error(an_error(error_class))
    assert (told, body["error"]["type"]) == (status, kind)  # type: ignore[index]  # an object, as above


SAME = set(ErrorClass) & {
    ErrorClass.INVALID_REQUEST,
    ErrorClass.AUTHENTICATION,
    ErrorClass.SPEND,
    ErrorClass.PERMISSION,
    ErrorClass.NOT_FOUND,
    ErrorClass.TOO_LARGE,
    ErrorClass.RATE_LIMITED,
    ErrorClass.RAMP,
    ErrorClass.SERVER_ERROR,
    ErrorClass.TIMEOUT,
    ErrorClass.OVERLOADED,
}


@pytest.mark.parametrize("error_class", sorted(SAME))
def test_what_is_told_is_understood_the_same(error_class: ErrorClass) -> None:
    status, body = CODEC.write_error(an_error(error_class))
    assert CODEC.error_of(status, {}, json.dumps(body).encode(), now=0.0).error_class is error_class


def test_no_key_is_in_a_message() -> None:
    body = {
        "type": "error",
        "error": {"type": "authentication_error", "message": "invalid x-api-key sk-ant-api03-" + "a" * 40},
    }
    error = CODEC.error_of(401, {}, json.dumps(body).encode(), now=0.0)
    assert "sk-ant" not in error.message

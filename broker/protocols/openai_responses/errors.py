"""Errors of responses: OpenAI's, and the codes that only a failed response carries.

Source: OpenAI API reference, "The response object", `error.code`.
"""

from collections.abc import Mapping
from dataclasses import replace

from broker.domain.attempt import CallError, ErrorClass
from broker.protocols import openai_errors
from broker.protocols.errors import scope_of

_CODES: Mapping[str, ErrorClass] = {
    code: error_class
    for error_class, codes in {
        ErrorClass.CONTENT_FILTER: (
            "bio_policy misalignment_policy_violation image_content_policy_violation cyber_policy"
        ),
        ErrorClass.INVALID_REQUEST: (
            "invalid_image invalid_image_format invalid_base64_image invalid_image_url image_too_small "
            "image_parse_error invalid_image_mode unsupported_image_media_type empty_image_file image_file_not_found"
        ),
        ErrorClass.TOO_LARGE: "image_too_large image_file_too_large",
        ErrorClass.PERMISSION: "data_residency_mismatch",
        ErrorClass.SERVER_ERROR: "failed_to_download_image",  # the other server may be back in a moment
        ErrorClass.TIMEOUT: "vector_store_timeout",
    }.items()
    for code in codes.split()
}


def error_of(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> CallError:
    """Why a response that is no success gave no answer; header names are lower case, `now` is epoch seconds."""
    return _named(openai_errors.error_of(status, headers, body, now=now), headers)


def embedded_error(status: int, headers: Mapping[str, str], error: object, *, now: float) -> CallError:
    """Why a response with a success status failed."""
    return _named(openai_errors.embedded_error(status, headers, error, now=now), headers)


def _named(error: CallError, headers: Mapping[str, str]) -> CallError:
    """Decide by a code that is this dialect's own."""
    error_class = _CODES.get(error.code or "")
    if error_class is None:
        return error
    return replace(error, error_class=error_class, scope=scope_of(error_class, headers.get("x-should-retry")))

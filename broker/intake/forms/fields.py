"""Fields of a row, and what is said of those that cannot be used."""

import re
from collections.abc import Mapping
from typing import Any

from broker.intake.problems import ProblemCode, RowRefused, shown

MAX_CUSTOM_ID = 512
# Control characters break logs and terminals, surrogates cannot be written as UTF-8.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def required(fields: Mapping[str, Any], key: str, name: str) -> object:
    """The value of a field that must be there; `name` is for people. Raises `RowRefused`."""
    value: object = fields.get(key)
    if value is None:
        raise RowRefused(ProblemCode.MISSING_FIELD, f"{name} is {'null' if key in fields else 'missing'}")
    return value


def request_at(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The request of a row; raises `RowRefused` when it is no object."""
    request = fields.get(key)
    if not isinstance(request, dict):
        required(fields, key, key)
        raise invalid(f"{key} must be an object")
    return request


def filled_array(request: Mapping[str, Any], key: str, name: str) -> None:
    """Check an array that must have something in it; raises `RowRefused`."""
    found = request.get(key)
    if not isinstance(found, list) or not found:
        required(request, key, name)
        raise invalid(f"{name} must be an array that is not empty")


def no_stream(request: Mapping[str, Any], name: str) -> None:
    """Check that no stream is asked for; raises `RowRefused`."""
    stream = request.get("stream")
    if stream is not None and stream is not False:
        raise RowRefused(ProblemCode.STREAM_REFUSED, f"{name} must be false or left out: a batch has no streams")


def named_model(request: Mapping[str, Any], name: str) -> str | None:
    """The model that a request names, if it names one; raises `RowRefused`."""
    model = request.get("model")
    if isinstance(model, str) and model:
        return model
    if "model" not in request:
        return None
    required(request, "model", name)
    raise invalid(f"{name} must be a string that is not empty")


def usable_name(fields: Mapping[str, Any], key: str, name: str) -> str:
    """The producer's name of a row, byte for byte; raises `RowRefused`."""
    value = fields.get(key)
    if not isinstance(value, str):
        required(fields, key, name)
        raise invalid(f"{name} must be a string")
    fault = fault_of_name(value)
    if fault is not None:
        raise invalid(f"{name} {fault}")
    return value


def fault_of_name(name: str) -> str | None:
    """Why a text cannot be the name of a row, if so."""
    if not name:
        return "must not be empty"
    if len(name) > MAX_CUSTOM_ID:
        return f"is longer than {MAX_CUSTOM_ID} characters"
    if _UNUSABLE.search(name):
        return f"has a control character or half a surrogate pair: {shown(name)}"
    return None


def invalid(message: str) -> RowRefused:
    """Say that a field cannot be what it is."""
    return RowRefused(ProblemCode.INVALID_FIELD, message)

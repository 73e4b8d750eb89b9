"""Lines of Gemini's batch API: `key`, `request`; or `request`, `metadata.key` as inline requests have it.

What is asked for is told by the request: `contents` to generate, `content` or `requests` to embed. It names its model
as `models/NAME`, or leaves it to whoever submits the file.
"""

from collections.abc import Mapping
from typing import Any

from broker.domain.job import Endpoint
from broker.intake.forms.fields import filled_array, invalid, named_model, request_at, required

_PREFIX = "models/"


def place_of_name(fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], str, str]:
    """Where the producer's name of a line is looked for: the fields, the key, and what that is called."""
    metadata = fields.get("metadata")
    if "key" not in fields and isinstance(metadata, dict) and "key" in metadata:
        return metadata, "key", "metadata.key"
    return fields, "key", "key"


def asked_for(fields: Mapping[str, Any]) -> tuple[Endpoint, dict[str, Any]]:
    """What a line asks for, checked; raises `RowRefused`."""
    request = request_at(fields, "request")
    if request.get("requests") is not None:
        filled_array(request, "requests", "request.requests")
        for number, inner in enumerate(request["requests"]):
            _check_content(inner, f"request.requests[{number}]")
        return Endpoint.BATCH_EMBED_CONTENTS, request
    if request.get("content") is not None:
        _check_content(request, "request")
        return Endpoint.EMBED_CONTENT, request
    filled_array(request, "contents", "request.contents")
    return Endpoint.GENERATE_CONTENT, request


def model_of(request: Mapping[str, Any]) -> str | None:
    """The model that a request names, without `models/`: its own, or that of all requests in it.

    Raises `RowRefused`.
    """
    names = {named_model(request, "request.model")}
    inner = request.get("requests")
    if isinstance(inner, list):
        names |= {named_model(each, f"request.requests[{number}].model") for number, each in enumerate(inner)}
    names.discard(None)
    if len(names) > 1:
        raise invalid("request.requests name several models; give each model a line of its own")
    named = names.pop() if names else None
    return None if named is None else named.removeprefix(_PREFIX)


def _check_content(request: object, name: str) -> None:
    if not isinstance(request, dict):
        raise invalid(f"{name} must be an object")
    if not isinstance(required(request, "content", f"{name}.content"), dict):
        raise invalid(f"{name}.content must be an object")

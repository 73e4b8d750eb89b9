"""Lines of OpenAI's batch API: `custom_id`, `method`, `url`, `body`; other keys are ignored."""

from collections.abc import Callable, Mapping
from typing import Any

from broker.domain.job import Endpoint
from broker.intake.forms.fields import filled_array, invalid, no_stream, request_at, required
from broker.intake.problems import ProblemCode, RowRefused, shown


def asked_for(fields: Mapping[str, Any], default: Endpoint | None) -> tuple[Endpoint, dict[str, Any]]:
    """What a line asks for, checked; `default` is meant by lines without `url` and `method`. Raises `RowRefused`."""
    if fields.get("method") != "POST" and not (default is not None and "method" not in fields):
        required(fields, "method", "method")
        raise invalid('method must be "POST"')
    url = default.value if default is not None and "url" not in fields else fields.get("url")
    if not isinstance(url, str) or url not in _ASKED:
        required(fields, "url", "url")
        given = shown(url) if isinstance(url, str) else "that"
        raise RowRefused(ProblemCode.UNKNOWN_URL, f"url cannot be {given}; it must be one of {', '.join(URLS)}")
    endpoint, check = _ASKED[url]
    request = request_at(fields, "body")
    no_stream(request, "body.stream")
    check(request)
    return endpoint, request


def _check_chat(request: Mapping[str, Any]) -> None:
    filled_array(request, "messages", "body.messages")


def _check_response(request: Mapping[str, Any]) -> None:
    background = request.get("background")
    if background is not None and background is not False:
        raise invalid("body.background must be false or left out: its answer would never be fetched")
    if request.get("prompt") is not None and request.get("input") is None:
        return  # a stored prompt may have all that is asked
    asked = required(request, "input", "body.input")
    if not isinstance(asked, str | list) or asked == []:
        raise invalid("body.input must be a string, or an array that is not empty")


def _check_embeddings(request: Mapping[str, Any]) -> None:
    required(request, "input", "body.input")


# By url, not by endpoint: the hash of an enum's member is slow, and this is done for every row
_ASKED: Mapping[str, tuple[Endpoint, Callable[[Mapping[str, Any]], None]]] = {
    endpoint.value: (endpoint, check)
    for endpoint, check in (
        (Endpoint.CHAT_COMPLETIONS, _check_chat),
        (Endpoint.RESPONSES, _check_response),
        (Endpoint.EMBEDDINGS, _check_embeddings),
    )
}
URLS = tuple(_ASKED)

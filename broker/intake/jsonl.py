"""Rows of an OpenAI batch file: `custom_id`, `method`, `url`, `body`; other keys are ignored."""

import difflib
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from broker.domain.job import Endpoint
from broker.errors import CallerError
from broker.intake.problems import Problem, ProblemCode, RowRefused, shown
from broker.intake.row_syntax import parse_row, readable_custom_id
from broker.intake.source import MAX_LINE_BYTES, Line, Source, open_lines

MAX_CUSTOM_ID = 512
_HINTS = 100
_HINTED_LENGTH = 200
_ENDPOINTS = {endpoint.value: endpoint for endpoint in Endpoint}
# Control characters break logs and terminals, surrogates cannot be written as UTF-8.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row that can be accepted."""

    position: int
    """In the batch, counted from 0: blank lines left out, bad rows included."""
    line: int
    """In the file, counted from 1."""
    custom_id: str
    endpoint: Endpoint
    model: str
    """The route that the producer asks for."""
    body: bytes
    """Byte for byte as submitted, without a line break."""


def read_rows(source: Source, *, routes: frozenset[str]) -> Generator[Row | Problem, None, None]:
    """Every row of the source in order, checked; `routes` are those that some account serves.

    Memory does not grow with the source. Close the iterator when leaving it early, since it holds the file open.
    Raises `CallerError` when the source cannot be read or has no rows at all.
    """
    check = RowCheck(routes)
    position = -1
    with open_lines(source) as lines:
        for position, line in enumerate(lines):
            yield check.row(line, position)
    if position == -1:
        raise CallerError(f"{source.name} is empty: it has no rows; write one JSON object per line")


class RowCheck:
    """Turns lines into rows or problems; remembers the hints it gave for unknown models.

    `only` are the keys that a row may have, where others are not ignored; `defaults` stand for those left out.
    """

    def __init__(
        self,
        routes: frozenset[str],
        *,
        only: frozenset[str] | None = None,
        defaults: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self._routes = routes
        self._only = only
        self._defaults = defaults
        self._hints: dict[str, str] = {}

    def row(self, line: Line, position: int) -> Row | Problem:
        fields: dict[str, Any] | None = None
        try:
            fields, body = _parsed(line)
            if self._only is not None and not fields.keys() <= self._only:
                raise _invalid(f"the row has a key that is not known; known are {', '.join(sorted(self._only))}")
            fields = {**self._defaults, **fields}
            custom_id = _custom_id(fields)
            endpoint = _endpoint(fields)
            request = _request(fields, endpoint)
            model = self._model(request)
        except RowRefused as refused:
            given = readable_custom_id(line.content) if fields is None else fields.get("custom_id")
            return Problem(
                line=line.number,
                position=position,
                code=refused.code,
                message=str(refused),
                custom_id=given if isinstance(given, str) and _fault_of(given) is None else None,
                model=refused.model,
            )
        return Row(position=position, line=line.number, custom_id=custom_id, endpoint=endpoint, model=model, body=body)

    def _model(self, request: dict[str, Any]) -> str:
        model = _field(request, "model", "body.model")
        if not isinstance(model, str) or not model:
            raise _invalid("body.model must be a string that is not empty")
        if model not in self._routes:
            raise RowRefused(ProblemCode.UNKNOWN_MODEL, self._no_account(model), model=model)
        return model

    def _no_account(self, model: str) -> str:
        message = self._hints.get(model)
        if message is None:
            message = f"no account serves the model {shown(model)}"
            # Each distinct name is compared with every route: a file with a new name per row must not pay for all.
            if len(self._hints) < _HINTS and len(model) <= _HINTED_LENGTH:
                message += self._nearest(model)
                self._hints[model] = message
        return message

    def _nearest(self, model: str) -> str:
        near = difflib.get_close_matches(model, sorted(self._routes), n=3)
        if near:
            return f"; did you mean {' or '.join(map(shown, near))}?"
        known = sorted(route for route in self._routes if "@" not in route)[:3]
        return f"; known are {', '.join(map(shown, known))}" if known else ""


def _parsed(line: Line) -> tuple[dict[str, Any], bytes]:
    if not line.whole:
        raise RowRefused(ProblemCode.LINE_TOO_LONG, f"the line is longer than {MAX_LINE_BYTES >> 20} MiB")
    return parse_row(line.content)


def _custom_id(fields: dict[str, Any]) -> str:
    custom_id = _field(fields, "custom_id", "custom_id")
    if not isinstance(custom_id, str):
        raise _invalid("custom_id must be a string")
    fault = _fault_of(custom_id)
    if fault is not None:
        raise _invalid(f"custom_id {fault}")
    return custom_id


def _fault_of(custom_id: str) -> str | None:
    if not custom_id:
        return "must not be empty"
    if len(custom_id) > MAX_CUSTOM_ID:
        return f"is longer than {MAX_CUSTOM_ID} characters"
    if _UNUSABLE.search(custom_id):
        return f"has a control character or half a surrogate pair: {shown(custom_id)}"
    return None


def _endpoint(fields: dict[str, Any]) -> Endpoint:
    if _field(fields, "method", "method") != "POST":
        raise _invalid('method must be "POST"')
    url = _field(fields, "url", "url")
    endpoint = _ENDPOINTS.get(url) if isinstance(url, str) else None
    if endpoint is None:
        given = shown(url) if isinstance(url, str) else "that"
        raise RowRefused(ProblemCode.UNKNOWN_URL, f"url cannot be {given}; it must be one of {', '.join(_ENDPOINTS)}")
    return endpoint


def _request(fields: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    request = _field(fields, "body", "body")
    if not isinstance(request, dict):
        raise _invalid("body must be an object")
    stream = request.get("stream")
    if stream is not None and stream is not False:
        raise RowRefused(ProblemCode.STREAM_REFUSED, "body.stream must be false or left out: a batch has no streams")
    if endpoint is Endpoint.CHAT_COMPLETIONS:
        messages = _field(request, "messages", "body.messages")
        if not isinstance(messages, list) or not messages:
            raise _invalid("body.messages must be an array that is not empty")
    else:
        _field(request, "input", "body.input")
    return request


def _field(fields: dict[str, Any], key: str, name: str) -> object:
    value: object = fields.get(key)
    if value is None:
        raise RowRefused(ProblemCode.MISSING_FIELD, f"{name} is {'null' if key in fields else 'missing'}")
    return value


def _invalid(message: str) -> RowRefused:
    return RowRefused(ProblemCode.INVALID_FIELD, message)

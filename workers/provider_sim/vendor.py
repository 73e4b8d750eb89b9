"""What the desk needs of a protocol, whoever made it: how to read, to answer and to refuse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import orjson
from aiohttp.web import BaseRequest
from pydantic import JsonValue

from workers.provider_sim.call import Call, Refused, Reply
from workers.provider_sim.config import ExhaustedForm, KeyConfig
from workers.provider_sim.gate import Denial, Level
from workers.provider_sim.generation import Generated
from workers.provider_sim.ledger import request_id

Body = dict[str, JsonValue]
"""A request's, when it is a JSON object."""


class Errors(Protocol):
    """A vendor's errors; its module `errors` is one."""

    def not_json(self) -> Reply:
        """400: the body is no JSON object."""

    def invalid(self, message: str) -> Reply:
        """400, with a message of our own."""

    def no_model(self) -> Reply:
        """400: the body names no model."""

    def bad_key(self, *, is_given: bool) -> Reply:
        """No key, an unknown key or a revoked one; the key itself is never repeated."""

    def forbidden(self) -> Reply:
        """403: the key may not do this any more."""

    def too_large(self) -> Reply:
        """413: the body is larger than anyone reads."""

    def no_such_model(self, model: str) -> Reply:
        """404."""

    def no_such_path(self, method: str, path: str) -> Reply:
        """404."""

    def wrong_method(self, method: str, path: str) -> Reply:
        """405."""

    def exhausted(self, form: ExhaustedForm, model: str) -> Reply:
        """The account's money is spent; waiting does not help."""

    def denied(self, denial: Denial, model: str, key: KeyConfig) -> Reply:
        """429 for a limit of the key, with as much of a hint as the key is configured to give."""

    def rate_limited(self, model: str, key: KeyConfig, wait_s: float | None) -> Reply:
        """429 as a fault: no limit of the key was reached."""

    def context_exceeded(self, tokens: int, maximum: int, window: int) -> Reply | None:
        """400: more tokens of input, with the maximum of output where it counts, than the window; `None`: it fits."""

    def server_error(self) -> Reply:
        """500."""

    def overloaded(self) -> Reply:
        """503 or 529: the model is."""

    def site_overloaded(self) -> Reply:
        """529 or 503: everything is."""

    def wrong_shape(self, model: str) -> Reply:
        """200 with JSON that is no answer."""


class Headers(Protocol):
    """A vendor's headers; its module `headers` is one."""

    def key_of(self, request: BaseRequest) -> str:
        """Return the key a request carries, empty when it carries none."""

    def of_answer(self, request_id: str, seconds: float) -> dict[str, str]:
        """Return what every answer carries; it took that many seconds."""

    def of_limits(self, levels: list[Level], now: float) -> dict[str, str]:
        """Return what is said of the key's limits; `now` is in seconds since the epoch."""

    def signed(self, reply: Reply, request_id: str) -> Reply:
        """Return an error with its id in the body, where the protocol has it there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One vendor's manners."""

    errors: Errors
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What an answer says of itself."""

    number: int
    """Of the request at this server."""
    created: int
    """Seconds since the epoch."""
    says_usage: bool = True

    @property
    def request_id(self) -> str:
        """What the ledger calls the request."""
        return request_id(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where calls come in, and how they are read and answered."""

    path: str
    vendor: Vendor
    read: Callable[[str, Body, Mapping[str, str]], Call]
    """Reads model, body and headers; raises `Refused`."""
    render: Callable[[Call, Generated, Issue], bytes]
    """The body of a good answer."""
    failed: Callable[[str, Issue], bytes]
    """A body that comes with status 200 and says, of this model, that it failed."""


def read_object(raw: bytes, errors: Errors) -> Body:
    """Return a body as a JSON object; raises `Refused`."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refused("invalid_request", errors.not_json()) from None
    if not isinstance(body, dict):
        raise Refused("invalid_request", errors.not_json())
    return body


def model_in(body: Mapping[str, JsonValue], errors: Errors) -> str:
    """Return the model that a body names; raises `Refused`."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused("invalid_request", errors.no_model())
    return model

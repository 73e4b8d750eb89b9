"""Reads and writes as the tests of this dialect do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from broker.domain.caps import Caps
from broker.domain.loss import Loss, OnLoss
from broker.protocols.canonical.request import EmbeddingRequest, Request, Unmapped
from broker.protocols.conversation import prepared
from broker.protocols.gemini_generate_content import CODEC
from broker.protocols.losses import Losses

Body = dict[str, Any]
HELLO: Body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def read(body: Mapping[str, Any]) -> Request:
    request = CODEC.read_request(body)
    assert isinstance(request, Request)
    return request


def read_embedding(body: Mapping[str, Any]) -> EmbeddingRequest:
    request = CODEC.read_request(body)
    assert isinstance(request, EmbeddingRequest)
    return request


def lost(request: Request | EmbeddingRequest) -> list[tuple[str, str, str]]:
    """What has no place in the canonical form: code, class and path of each."""
    return [_told(loss) for loss in request.unmapped]


def _told(loss: Unmapped | Loss) -> tuple[str, str, str]:
    return loss.code, loss.loss_class.value, loss.path


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request as it goes to Google."""

    body: Any
    path: str
    fan_out: int


def write(
    request: Request, *, model: str = "gemini-3-flash", caps: Caps = CODEC.caps, **changes: Any
) -> tuple[Sent, list[tuple[str, str, str]]]:
    """Write a request as the driver does, dropping what is lost; and the losses."""
    losses = Losses(CODEC.dialect, OnLoss.DROP)
    request = replace(request, **changes)
    ready = prepared(request, caps=caps, losses=losses, tool_names=CODEC.tool_names, call_ids=CODEC.call_ids)
    assert CODEC.write_request is not None
    written = CODEC.write_request(ready.request, model=model, caps=caps, losses=losses)
    sent = Sent(body=written.body, path=written.path, fan_out=written.fan_out)
    return sent, [_told(loss) for loss in losses.noted]


def refused(request: Request, *, caps: Caps = CODEC.caps, **changes: Any) -> list[tuple[str, str, str]]:
    """What stands in the way of a request where nothing may be lost."""
    losses = Losses(CODEC.dialect, OnLoss.FAIL)
    assert CODEC.write_request is not None
    CODEC.write_request(replace(request, **changes), model="m", caps=caps, losses=losses)
    return [_told(loss) for loss in losses._refused]

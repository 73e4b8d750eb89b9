"""Requests in the canonical form, written as Anthropic takes them."""

from dataclasses import replace
from typing import Any

from broker.domain.caps import Caps, ThinkingForm
from broker.domain.dialect import Dialect
from broker.domain.loss import Loss, OnLoss
from broker.protocols.anthropic_messages import CODEC
from broker.protocols.anthropic_messages.write_request import write_request
from broker.protocols.canonical.parts import CallPart, Part, ResultPart, TextPart
from broker.protocols.canonical.request import Request, Role, Sampling, Tool, Turn
from broker.protocols.codec import Written
from broker.protocols.losses import Losses, UntranslatableRequest
from tests.protocols.anthropic_messages.oracle import check_request

NEWEST = CODEC.caps
MANUAL = replace(NEWEST, sampling=True, thinking=ThinkingForm.BUDGET, temperature_with_top_p=True, prefill=True)
"""A model that thinks by a budget and takes sampling, as those up to 4.5."""
FIRST_ADAPTIVE = replace(MANUAL, thinking=ThinkingForm.ADAPTIVE, prefill=False)
"""4.6."""


def user(*parts: Part | str, path: str = "/messages/0") -> Turn:
    return Turn(role=Role.USER, parts=_parts(parts, path), path=path)


def assistant(*parts: Part | str, path: str = "/messages/1") -> Turn:
    return Turn(role=Role.ASSISTANT, parts=_parts(parts, path), path=path)


def operator(*parts: Part | str, path: str = "/messages/2") -> Turn:
    return Turn(role=Role.SYSTEM, parts=_parts(parts, path), path=path)


def _parts(parts: tuple[Part | str, ...], path: str) -> tuple[Part, ...]:
    return tuple(
        TextPart(text=part, path=f"{path}/content/{index}") if isinstance(part, str) else part
        for index, part in enumerate(parts)
    )


def a_call(call_id: str = "call_1", name: str = "look", **changes: Any) -> CallPart:
    call = CallPart(id=call_id, name=name, arguments={}, arguments_text="{}", path="/messages/1/tool_calls/0")
    return replace(call, **changes)


def a_result(call_id: str = "call_1", *parts: Part | str, **changes: Any) -> ResultPart:
    result = ResultPart(call_id=call_id, parts=_parts(parts, "/messages/2"), path="/messages/2")  # type: ignore[arg-type]
    return replace(result, **changes)


def a_tool(name: str = "look", **changes: Any) -> Tool:
    return replace(Tool(name=name, schema={"type": "object", "properties": {}}, path="/tools/0"), **changes)


def a_request(*turns: Turn, **changes: Any) -> Request:
    request = Request(
        turns=turns or (user("Hello"),),
        max_output_tokens=1000,
        pointers={name: f"/{name}" for name in (*Request.__slots__, *Sampling.__slots__)},
    )
    return replace(request, **changes)


class Outcome:
    """What was written, and what was lost."""

    def __init__(self, written: Written, losses: tuple[Loss, ...]) -> None:
        self.body: dict[str, Any] = written.body
        self.written = written
        self.losses = losses
        self.codes = [loss.code for loss in losses]


def sent(request: Request, caps: Caps = NEWEST, *, on_loss: OnLoss = OnLoss.FAIL, valid: bool = True) -> Outcome:
    """Write a request, which must satisfy the SDK's types; raises `UntranslatableRequest`."""
    losses = Losses(Dialect.ANTHROPIC_MESSAGES, on_loss)
    written = write_request(request, model="claude", caps=caps, losses=losses)
    outcome = Outcome(written, losses.settle())
    if valid:
        check_request(written.body, written.headers)
    return outcome


def dropped(request: Request, caps: Caps = NEWEST) -> Outcome:
    """Write a request that may lose what can be lost."""
    return sent(request, caps, on_loss=OnLoss.DROP)


def refused(request: Request, caps: Caps = NEWEST, *, on_loss: OnLoss = OnLoss.FAIL) -> list[tuple[str, str]]:
    """Codes and places of what a request is refused for; empty if it is not."""
    try:
        sent(request, caps, on_loss=on_loss)
    except UntranslatableRequest as fault:
        return [(loss.code, loss.path) for loss in fault.losses]
    return []

"""Writes canonical requests in OpenAI's words, as the tests of it do."""

from typing import Any

import pytest

from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.domain.loss import LossClass, OnLoss
from broker.protocols.canonical.parts import Part, TextPart
from broker.protocols.canonical.request import Request, Role, Turn
from broker.protocols.codec import Written
from broker.protocols.losses import Losses, UntranslatableRequest
from broker.protocols.openai_responses import CODEC
from broker.protocols.openai_responses.write_request import write_request


def turn(*parts: Part, role: Role = Role.USER) -> Turn:
    return Turn(role=role, parts=parts, path="/t")


def write(
    *turns: Turn, caps: Caps = CODEC.caps, **more: Any
) -> tuple[dict[str, Any], list[tuple[str, str, LossClass]]]:
    given = turns or (turn(TextPart(text="Hi.")),)
    written, losses = written_of(Request(turns=given, **more), caps)
    return written.body, [(loss.code, loss.path, loss.loss_class) for loss in losses.noted]


def written_of(request: Request, caps: Caps = CODEC.caps) -> tuple[Written, Losses]:
    losses = Losses(Dialect.OPENAI_RESPONSES, OnLoss.DROP)
    return write_request(request, model="gpt-5", caps=caps, losses=losses), losses


def refused(*parts: Part, role: Role = Role.USER, caps: Caps = CODEC.caps) -> list[tuple[str, str]]:
    _, losses = written_of(Request(turns=(turn(*parts, role=role),)), caps)
    with pytest.raises(UntranslatableRequest) as told:
        losses.settle()
    return [(loss.code, loss.path) for loss in told.value.losses]


def items(*turns: Turn, **more: Any) -> Any:
    return write(*turns, **more)[0]["input"]

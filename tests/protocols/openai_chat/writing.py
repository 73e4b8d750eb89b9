"""Writes canonical requests as chats, as the tests of it do."""

from typing import Any

import pytest

from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.domain.loss import LossClass, OnLoss
from broker.protocols.canonical.parts import Part, TextPart
from broker.protocols.canonical.request import Request, Role, Turn
from broker.protocols.losses import Losses, UntranslatableRequest
from broker.protocols.openai_chat import CODEC
from broker.protocols.openai_chat.read_request import read_request
from broker.protocols.openai_chat.write_request import write_request


def turn(*parts: Part, role: Role = Role.USER) -> Turn:
    return Turn(role=role, parts=parts, path="/t")


def write(
    *turns: Turn, caps: Caps = CODEC.caps, **more: Any
) -> tuple[dict[str, Any], list[tuple[str, str, LossClass]]]:
    """The body, and what was lost."""
    losses = Losses(Dialect.OPENAI_CHAT, OnLoss.DROP)
    request = Request(turns=turns or (turn(TextPart(text="Hi.")),), **more)
    body = write_request(request, model="m", caps=caps, losses=losses).body
    return body, [(loss.code, loss.path, loss.loss_class) for loss in losses.settle()]


def refused(*parts: Part, role: Role = Role.USER, caps: Caps = CODEC.caps, **more: Any) -> list[tuple[str, str]]:
    losses = Losses(Dialect.OPENAI_CHAT, OnLoss.DROP)
    request = Request(turns=(turn(*parts, role=role),), **more)
    write_request(request, model="m", caps=caps, losses=losses)
    with pytest.raises(UntranslatableRequest) as told:
        losses.settle()
    return [(loss.code, loss.path) for loss in told.value.losses]


def messages(*turns: Turn, **more: Any) -> Any:
    return write(*turns, **more)[0]["messages"]


def read(*said: Any, **more: Any) -> Request:
    """A request with these messages, or one of them."""
    return read_request({"model": "m", "messages": list(said) or [{"role": "user", "content": "Hi."}], **more})


def unmapped(*said: Any, **more: Any) -> list[tuple[str, str, LossClass]]:
    return [(lost.code, lost.path, lost.loss_class) for lost in read(*said, **more).unmapped]

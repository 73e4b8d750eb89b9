"""Request bodies of every dialect, drawn at random."""

from collections.abc import Callable

from broker.domain.dialect import Dialect
from tests.protocols import openai_bodies, vendor_bodies
from tests.protocols.drawing import Body, Drawing

_MAKERS: dict[Dialect, Callable[[Drawing], Body]] = {
    Dialect.OPENAI_CHAT: openai_bodies.chat,
    Dialect.OPENAI_RESPONSES: openai_bodies.responses,
    Dialect.OPENAI_EMBEDDINGS: openai_bodies.embeddings,
    Dialect.ANTHROPIC_MESSAGES: vendor_bodies.messages,
    Dialect.GEMINI_GENERATE_CONTENT: vendor_bodies.generate,
}


def drawn(drawing: Drawing, dialect: Dialect, *, odd: float = 0.1) -> Body:
    """One body of a dialect; the share `odd` of them is spoilt somewhere."""
    body = _MAKERS[dialect](drawing)
    if drawing.chance(odd):
        drawing.spoil(body)
    return body

"""The languages of requests and answers: what producers write, and what providers speak."""

from collections.abc import Sequence
from enum import StrEnum


class Dialect(StrEnum):
    """One vendor's API for one purpose; each has a codec in `broker.protocols`."""

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    OPENAI_EMBEDDINGS = "openai-embeddings"
    ANTHROPIC_MESSAGES = "anthropic-messages"
    GEMINI_GENERATE_CONTENT = "gemini-generateContent"
    """Also `embedContent` and `batchEmbedContents`: told apart by the shape of the body."""

    @property
    def generates(self) -> bool:
        """Whether it can ask for text."""
        return self is not Dialect.OPENAI_EMBEDDINGS

    @property
    def embeds(self) -> bool:
        """Whether it can ask for vectors."""
        return self in (Dialect.OPENAI_EMBEDDINGS, Dialect.GEMINI_GENERATE_CONTENT)


OPENAI_FAMILY = (Dialect.OPENAI_CHAT, Dialect.OPENAI_EMBEDDINGS)
"""What nearly every server speaks that calls itself OpenAI-compatible."""


def spoken(source: Dialect, *, generates: bool, protocols: Sequence[Dialect]) -> Dialect | None:
    """The language in which an account is asked what a producer asks in `source`; `None`: it cannot be asked.

    `generates`: text is wanted, else vectors. `protocols` is what the account speaks, the preferred one first. The
    producer's own language is best, because it needs no translation.
    """
    fit = [dialect for dialect in protocols if (dialect.generates if generates else dialect.embeds)]
    return source if source in fit else next(iter(fit), None)

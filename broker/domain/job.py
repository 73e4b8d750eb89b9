"""A job: one request of a batch, as its producer submitted it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from broker.domain.dialect import Dialect
from broker.domain.loss import OnLoss


class Endpoint(StrEnum):
    """What a job asks for, and in whose words.

    The value is what segments and turns carry: the url of an OpenAI batch line, or the path of the vendor's own API
    (Gemini's without the model, which is not part of what is asked for).
    """

    CHAT_COMPLETIONS = "/v1/chat/completions"
    RESPONSES = "/v1/responses"
    EMBEDDINGS = "/v1/embeddings"
    MESSAGES = "/v1/messages"
    GENERATE_CONTENT = "/v1beta/models:generateContent"
    EMBED_CONTENT = "/v1beta/models:embedContent"
    BATCH_EMBED_CONTENTS = "/v1beta/models:batchEmbedContents"

    @property
    def dialect(self) -> Dialect:
        """The language of the body."""
        return _DIALECTS[self]

    @property
    def generates(self) -> bool:
        """Whether the answer is generated text; the others are vectors."""
        return self not in _EMBEDDING


_DIALECTS = {
    Endpoint.CHAT_COMPLETIONS: Dialect.OPENAI_CHAT,
    Endpoint.RESPONSES: Dialect.OPENAI_RESPONSES,
    Endpoint.EMBEDDINGS: Dialect.OPENAI_EMBEDDINGS,
    Endpoint.MESSAGES: Dialect.ANTHROPIC_MESSAGES,
    Endpoint.GENERATE_CONTENT: Dialect.GEMINI_GENERATE_CONTENT,
    Endpoint.EMBED_CONTENT: Dialect.GEMINI_GENERATE_CONTENT,
    Endpoint.BATCH_EMBED_CONTENTS: Dialect.GEMINI_GENERATE_CONTENT,
}
_EMBEDDING = frozenset({Endpoint.EMBEDDINGS, Endpoint.EMBED_CONTENT, Endpoint.BATCH_EMBED_CONTENTS})


class JobKey(NamedTuple):
    """A job's identity: its batch, and its place in the submission counted from 0."""

    batch_id: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A turn's worth of work, with the body exactly as submitted."""

    key: JobKey
    custom_id: str
    endpoint: Endpoint
    route: str
    body: bytes
    """The request as one line of JSON, byte for byte as the producer wrote it."""
    on_loss: OnLoss = OnLoss.FAIL
    """What its batch says of what an account's protocol cannot express."""
    from_due: bool = False
    """Fed from a due row (a retry, a handed back or a lost turn), not from the segment's cursor."""

"""A job: one request of a batch, as its producer submitted it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Endpoint(StrEnum):
    """What a job asks for; the value is the url of an OpenAI batch line."""

    CHAT_COMPLETIONS = "/v1/chat/completions"
    EMBEDDINGS = "/v1/embeddings"


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
    from_due: bool = False
    """Fed from a due row (a retry, a handed back or a lost turn), not from the segment's cursor."""

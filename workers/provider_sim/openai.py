"""The OpenAI protocol as the simulator's desk needs it: one object per endpoint."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import JsonValue

from workers.provider_sim.call import Call, ChatCall, EmbeddingCall, Generated
from workers.provider_sim.openai_answers import chat_completion, embedding_list
from workers.provider_sim.openai_requests import read_chat, read_embeddings

CHAT_PATH = "/v1/chat/completions"
EMBEDDINGS_PATH = "/v1/embeddings"
MODELS_PATH = "/v1/models"
CLIENT_REQUEST_ID = "X-Client-Request-Id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where calls come in, and how they are read."""

    path: str
    read: Callable[[dict[str, JsonValue]], Call]


def endpoints(default_dimensions: int) -> dict[str, Endpoint]:
    """By path."""

    def read_with_default(body: dict[str, JsonValue]) -> Call:
        return read_embeddings(body, default_dimensions)

    known = (
        Endpoint(path=CHAT_PATH, read=read_chat),
        Endpoint(path=EMBEDDINGS_PATH, read=read_with_default),
    )
    return {endpoint.path: endpoint for endpoint in known}


def render(call: Call, generated: Generated, *, number: int, created: int) -> bytes:
    """Return the body of a good answer."""
    match call:
        case ChatCall():
            return chat_completion(call, generated, number=number, created=created)
        case EmbeddingCall():
            return embedding_list(call, generated)

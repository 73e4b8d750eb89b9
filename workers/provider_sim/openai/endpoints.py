"""The endpoints of OpenAI that cost money, and its pages of models."""

from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import Call, EmbeddingCall, TextCall
from workers.provider_sim.generation import Generated
from workers.provider_sim.openai import chat_answers, errors, headers, responses_answers
from workers.provider_sim.openai.chat_requests import read_chat
from workers.provider_sim.openai.embeddings import embedding_list, read_embeddings
from workers.provider_sim.openai.responses_requests import read_response
from workers.provider_sim.vendor import Body, Endpoint, Issue, Vendor

CHAT_PATH = "/v1/chat/completions"
EMBEDDINGS_PATH = "/v1/embeddings"
RESPONSES_PATH = "/v1/responses"
OPENAI = Vendor(errors=errors, headers=headers)


def endpoints(default_dimensions: int) -> dict[str, Endpoint]:
    """By path."""

    def read_with_default(model: str, body: Body, headers: Mapping[str, str]) -> Call:  # noqa: ARG001 - as above
        return read_embeddings(model, body, default_dimensions)

    known = (
        Endpoint(path=CHAT_PATH, vendor=OPENAI, read=read_chat, render=_render, failed=chat_answers.failed),
        Endpoint(
            path=EMBEDDINGS_PATH, vendor=OPENAI, read=read_with_default, render=_render, failed=chat_answers.failed
        ),
        Endpoint(
            path=RESPONSES_PATH,
            vendor=OPENAI,
            read=read_response,
            render=_render_response,
            failed=responses_answers.failed,
        ),
    )
    return {endpoint.path: endpoint for endpoint in known}


def _render(call: Call, generated: Generated, issue: Issue) -> bytes:
    match call:
        case TextCall():
            return chat_answers.chat_completion(call, generated, issue)
        case EmbeddingCall():
            return embedding_list(call, generated, issue)


def _render_response(call: Call, generated: Generated, issue: Issue) -> bytes:
    if not isinstance(call, TextCall):
        raise TypeError("only texts are read here")
    return responses_answers.response(call, generated, issue)


def model_list(models: tuple[str, ...], created: int, facts: dict[str, JsonValue]) -> bytes:
    """Return what `GET /v1/models` answers; `facts` are what a self-hosted engine adds to each model."""
    return orjson.dumps({"object": "list", "data": [_model(name, created) | facts for name in models]})


def one_model(name: str, created: int, facts: dict[str, JsonValue]) -> bytes:
    """Return what `GET /v1/models/NAME` answers."""
    return orjson.dumps(_model(name, created) | facts)


def _model(name: str, created: int) -> dict[str, JsonValue]:
    return {"id": name, "object": "model", "created": created, "owned_by": "provider-sim"}

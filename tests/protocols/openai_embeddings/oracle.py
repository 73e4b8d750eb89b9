"""OpenAI's own SDK as a judge of embeddings: strictly of its types, and with no other members."""

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from openai.types import CreateEmbeddingResponse
from openai.types.embedding_create_params import EmbeddingCreateParams

from tests.protocols.strict_types import strict_adapter

REQUEST = strict_adapter(EmbeddingCreateParams)


def check_request(body: Mapping[str, Any]) -> None:
    """Fail unless a body is a request."""
    REQUEST.validate_json(json.dumps(body))


def check_answer(answer: Mapping[str, Any]) -> CreateEmbeddingResponse:
    """Fail unless an answer is a list of vectors, in either encoding: the SDK's type has them decoded."""
    decoded = json.loads(json.dumps(answer))
    for entry in decoded["data"]:
        if isinstance(entry["embedding"], str):
            assert len(b64decode(entry["embedding"], validate=True)) % 4 == 0
            entry["embedding"] = [0.0]
    response = CreateEmbeddingResponse.model_validate_json(json.dumps(decoded), strict=True)
    assert not response.model_extra
    assert not response.usage.model_extra
    assert not any(entry.model_extra for entry in response.data)
    return response

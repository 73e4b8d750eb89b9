"""Google's own SDK as a judge: requests and answers must be of its types, strictly, and have no other members.

The SDK has no type for a whole request body, which it puts together by hand, so that is put together here of its types
for the parts.
"""

import json
from collections.abc import Mapping
from typing import Any

from google.genai import types
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

OWN = frozenset({"args", "response", "parametersJsonSchema", "responseJsonSchema", "properties", "labels"})
"""Members that are the producer's: their names are not Gemini's."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class GenerateContent(_Strict):
    """Source: Gemini API reference, `generateContent`, request body."""

    contents: list[types.Content]
    system_instruction: types.Content | None = None
    tools: list[types.Tool] | None = None
    tool_config: types.ToolConfig | None = None
    safety_settings: list[types.SafetySetting] | None = None
    generation_config: types.GenerationConfig | None = None
    cached_content: str | None = None
    labels: dict[str, str] | None = None
    service_tier: types.ServiceTier | None = None
    store: bool | None = None


class EmbedContent(_Strict):
    """Source: Gemini API reference, `embedContent`, request body."""

    model: str
    content: types.Content
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: int | None = None


class BatchEmbedContents(_Strict):
    """Source: Gemini API reference, `batchEmbedContents`, request body."""

    requests: list[EmbedContent]


class EmbedContentResponse(_Strict):
    """Source: Gemini API reference, `embedContent`, response body; the SDK asks for batches only."""

    embedding: types.ContentEmbedding
    usage_metadata: types.UsageMetadata | None = None


_BODIES: Mapping[str, TypeAdapter[Any]] = {
    "generateContent": TypeAdapter(GenerateContent),
    "embedContent": TypeAdapter(EmbedContent),
    "batchEmbedContents": TypeAdapter(BatchEmbedContents),
}


def check_request(body: Mapping[str, Any], path: str) -> None:
    """Fail unless a body is a request for the method in its path, in `camelCase` throughout."""
    _BODIES[path.rpartition(":")[2]].validate_json(json.dumps(body), strict=True)
    check_names(body)


def check_answer(answer: Mapping[str, Any]) -> types.GenerateContentResponse:
    """Fail unless an answer is one to `generateContent`."""
    check_names(answer)
    return types.GenerateContentResponse.model_validate_json(json.dumps(answer), strict=True)


def check_embeddings(answer: Mapping[str, Any]) -> types.EmbedContentResponse:
    """Fail unless an answer is one to `batchEmbedContents`."""
    check_names(answer)
    return types.EmbedContentResponse.model_validate_json(json.dumps(answer), strict=True)


def check_names(value: Any) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            assert "_" not in name, f"{name} is no name in camelCase"
            if name not in OWN:
                check_names(inner)
    elif isinstance(value, list):
        for inner in value:
            check_names(inner)

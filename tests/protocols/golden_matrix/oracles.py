"""The vendors' own SDKs as judges of what is translated into their dialects."""

import json
from collections.abc import Mapping
from typing import Any, assert_never

from openai import BaseModel
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

from broker.domain.dialect import Dialect
from broker.protocols import Translation
from tests.protocols.anthropic_messages import oracle as anthropic
from tests.protocols.gemini_generate_content import oracle as gemini
from tests.protocols.openai_chat import oracle as chat
from tests.protocols.openai_embeddings import oracle as embeddings
from tests.protocols.strict_types import strict_adapter

_RESPONSES = strict_adapter(ResponseCreateParamsNonStreaming)


def check_request(translation: Translation) -> None:
    """Fail unless a translation is a request of its target's SDK, strictly, without other members."""
    body = translation.body
    match translation.target:
        case Dialect.OPENAI_CHAT:
            chat.check_request(body)
        case Dialect.OPENAI_RESPONSES:
            _RESPONSES.validate_json(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
        case Dialect.OPENAI_EMBEDDINGS:
            embeddings.check_request(body)
        case Dialect.ANTHROPIC_MESSAGES:
            anthropic.check_request(body, translation.headers)
        case Dialect.GEMINI_GENERATE_CONTENT:
            gemini.check_request(body, translation.path)
        case _:
            assert_never(translation.target)


def check_answer(dialect: Dialect, answer: Mapping[str, Any], *, vectors: bool = False) -> None:
    """Fail unless an answer is of the SDK's type, strictly, without other members."""
    match dialect:
        case Dialect.OPENAI_CHAT:
            chat.check_answer(answer)
        case Dialect.OPENAI_RESPONSES:
            _without_extras(Response.model_validate_json(json.dumps(answer), strict=True))
        case Dialect.OPENAI_EMBEDDINGS:
            embeddings.check_answer(answer)
        case Dialect.ANTHROPIC_MESSAGES:
            anthropic.check_answer(answer)
        case Dialect.GEMINI_GENERATE_CONTENT if vectors:
            gemini.check_embeddings(answer)
        case Dialect.GEMINI_GENERATE_CONTENT:
            gemini.check_answer(answer)
        case _:
            assert_never(dialect)


def _without_extras(value: Any) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, value.model_extra
        for name in type(value).model_fields:
            _without_extras(getattr(value, name))
    elif isinstance(value, list):
        for inner in value:
            _without_extras(inner)

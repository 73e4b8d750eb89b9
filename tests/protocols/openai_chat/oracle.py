"""OpenAI's own SDK as a judge of chats: requests and answers must be of its types, strictly, and have no other members.

What compatible servers add to an answer is known by name.
"""

import json
from collections.abc import Mapping
from typing import Any

from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import BaseModel

from tests.protocols.strict_types import strict_adapter

REQUEST = strict_adapter(CompletionCreateParamsNonStreaming)
OTHERS = frozenset({"reasoning_content", "extra_content"})
"""DeepSeek's and vLLM's thoughts, and Google's seals of them."""


def check_request(body: Mapping[str, Any]) -> None:
    """Fail unless a body is a request."""
    # The judge reads no half surrogate pairs
    REQUEST.validate_json(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))


def check_answer(answer: Mapping[str, Any]) -> ChatCompletion:
    """Fail unless an answer is a completion."""
    completion = ChatCompletion.model_validate_json(json.dumps(answer), strict=True)
    check_no_extras(completion)
    return completion


def check_no_extras(value: Any) -> None:
    if isinstance(value, BaseModel):
        assert (value.model_extra or {}).keys() <= OTHERS, value.model_extra
        for name in type(value).model_fields:
            check_no_extras(getattr(value, name))
    elif isinstance(value, list):
        for inner in value:
            check_no_extras(inner)

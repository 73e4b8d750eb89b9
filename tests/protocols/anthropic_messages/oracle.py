"""Anthropic's own SDK as a judge: requests and answers must be of its types, strictly, and have no other members.

The types know the newer API version only; the fields that it gave up are judged here, by the version that is asked for.
"""

import json
from collections.abc import Mapping
from typing import Any

from anthropic.types import Message
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from pydantic import BaseModel

from broker.protocols.anthropic_messages.version import HEADER, OLD
from tests.protocols.strict_types import strict_adapter

REQUEST = strict_adapter(MessageCreateParamsNonStreaming)
GIVEN_UP = {"temperature": 1.0, "top_p": 1.0, "top_k": 10**9}


def check_request(body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Fail unless a body is a request by the version in `headers`."""
    for key in body.keys() & GIVEN_UP.keys():
        assert headers[HEADER] == OLD, f"{key} is no field of the newer version"
        assert 0 <= body[key] <= GIVEN_UP[key], key
    known = {key: value for key, value in body.items() if key not in GIVEN_UP}
    # The judge reads no half surrogate pairs
    REQUEST.validate_json(json.dumps(known, ensure_ascii=False).encode("utf-8", "replace"))


def check_answer(answer: Mapping[str, Any]) -> Message:
    """Fail unless an answer is a message."""
    message = Message.model_validate_json(json.dumps(answer), strict=True)
    check_no_extras(message)
    return message


def check_no_extras(value: Any) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, value.model_extra
        for name in type(value).model_fields:
            check_no_extras(getattr(value, name))
    elif isinstance(value, list):
        for inner in value:
            check_no_extras(inner)

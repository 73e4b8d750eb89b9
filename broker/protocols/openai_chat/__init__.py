"""The codec of OpenAI's chat completions, which most other providers and self-hosted servers speak as well."""

import re

from broker.domain.caps import Caps, ThinkingForm
from broker.domain.dialect import Dialect
from broker.protocols.codec import Codec, Json
from broker.protocols.openai_chat.read_answer import fault_of, items_asked_for, read_answer
from broker.protocols.openai_chat.read_request import read_request
from broker.protocols.openai_chat.usage import read_usage
from broker.protocols.openai_chat.write_answer import write_answer
from broker.protocols.openai_chat.write_request import PATH, write_request
from broker.protocols.openai_errors import REQUEST_ID_HEADERS, embedded_error, error_of, write_error


def _path(_model: str, _body: Json) -> str:
    return PATH


CODEC = Codec(
    dialect=Dialect.OPENAI_CHAT,
    caps=Caps(thinking=ThinkingForm.EFFORT),
    read_request=read_request,
    write_request=write_request,
    write_embedding=None,
    fault_of=fault_of,
    read_usage=read_usage,
    read_answer=read_answer,
    write_answer=write_answer,
    error_of=error_of,
    embedded_error=embedded_error,
    write_error=write_error,
    items_asked_for=items_asked_for,
    path=_path,
    headers={},
    request_id_headers=REQUEST_ID_HEADERS,
    tool_names=re.compile(r"[A-Za-z0-9_-]{1,64}"),
    call_ids=re.compile(r"(?s).+"),
)

"""The codec of OpenAI's embeddings. Source: OpenAI API reference, "Create embeddings"."""

import re

from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.protocols.codec import Codec, Json
from broker.protocols.openai_embeddings.answers import fault_of, read_answer, read_usage, write_answer
from broker.protocols.openai_embeddings.requests import PATH, items_asked_for, read_request, write_request
from broker.protocols.openai_errors import REQUEST_ID_HEADERS, embedded_error, error_of, write_error

_ANY = re.compile(r"(?s).*")


def _path(_model: str, _body: Json) -> str:
    return PATH


CODEC = Codec(
    dialect=Dialect.OPENAI_EMBEDDINGS,
    caps=Caps(),
    read_request=read_request,
    write_request=None,
    write_embedding=write_request,
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
    tool_names=_ANY,
    call_ids=_ANY,
)

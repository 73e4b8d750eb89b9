"""The codec of Gemini: generated text, and vectors."""

import re

from broker.domain.caps import Caps, ThinkingForm
from broker.domain.dialect import Dialect
from broker.protocols.codec import Codec
from broker.protocols.gemini_generate_content.embeddings import write_embedding
from broker.protocols.gemini_generate_content.errors import embedded_error, error_of
from broker.protocols.gemini_generate_content.faults import fault_of
from broker.protocols.gemini_generate_content.paths import path
from broker.protocols.gemini_generate_content.read_answer import read_answer
from broker.protocols.gemini_generate_content.read_request import items_asked_for, read_request
from broker.protocols.gemini_generate_content.usage import read_usage
from broker.protocols.gemini_generate_content.write_answer import write_answer
from broker.protocols.gemini_generate_content.write_error import write_error
from broker.protocols.gemini_generate_content.write_request import write_request

CODEC = Codec(
    dialect=Dialect.GEMINI_GENERATE_CONTENT,
    caps=Caps(
        choices=False,
        thinking=ThinkingForm.LEVEL,
        efforts=("low", "medium", "high"),
        thinking_off=False,
        mid_system=False,
    ),
    read_request=read_request,
    write_request=write_request,
    write_embedding=write_embedding,
    fault_of=fault_of,
    read_usage=read_usage,
    read_answer=read_answer,
    write_answer=write_answer,
    error_of=error_of,
    embedded_error=embedded_error,
    write_error=write_error,
    items_asked_for=items_asked_for,
    path=path,
    headers={},
    request_id_headers=("x-goog-request-id", "x-request-id"),
    tool_names=re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}"),
    call_ids=re.compile(r"[!-~]{1,256}"),
)

"""The codec of Anthropic's messages, of both versions of its API."""

import re

from broker.domain.dialect import Dialect
from broker.protocols.anthropic_messages.caps import CAPS
from broker.protocols.anthropic_messages.errors import embedded_error, error_of, write_error
from broker.protocols.anthropic_messages.read_answer import fault_of, read_answer
from broker.protocols.anthropic_messages.read_request import read_request
from broker.protocols.anthropic_messages.usage import read_usage
from broker.protocols.anthropic_messages.version import HEADER, OLD
from broker.protocols.anthropic_messages.write_answer import CALL_ID, write_answer
from broker.protocols.anthropic_messages.write_request import PATH, write_request
from broker.protocols.codec import Codec

CODEC = Codec(
    dialect=Dialect.ANTHROPIC_MESSAGES,
    caps=CAPS,
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
    items_asked_for=lambda body: 1,  # noqa: ARG005  # there is no way to ask for more
    path=lambda model, body: PATH,  # noqa: ARG005  # the model stands in the body
    headers={HEADER: OLD},  # it takes whatever a producer may have written, by either version
    request_id_headers=("request-id", "x-request-id"),
    tool_names=re.compile(r"[A-Za-z0-9_-]{1,128}"),
    call_ids=CALL_ID,
)

__all__ = ["CODEC"]

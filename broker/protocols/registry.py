"""Every codec, by its dialect."""

from collections.abc import Mapping

from broker.domain.dialect import Dialect
from broker.protocols import (
    anthropic_messages,
    gemini_generate_content,
    openai_chat,
    openai_embeddings,
    openai_responses,
)
from broker.protocols.codec import Codec

CODECS: Mapping[Dialect, Codec] = {
    codec.dialect: codec
    for codec in (
        openai_chat.CODEC,
        openai_responses.CODEC,
        openai_embeddings.CODEC,
        anthropic_messages.CODEC,
        gemini_generate_content.CODEC,
    )
}


def codec_of(dialect: Dialect | str) -> Codec:
    """Look a codec up; raises `ValueError` for a name that is no dialect."""
    return CODECS[Dialect(dialect)]

"""The fewest tokens that a prompt can have, whatever the tokenizer. Pure.

An estimate from bytes is wrong by a factor for long runs of spaces, for tables, and for schemas and tools, which may
not reach the prompt at all. This is not: tokenizers do not join words across white space and marks, so that a text has
as many tokens as words, and more. English has about four tokens to three words.
"""

import re
from collections.abc import Iterable, Iterator
from typing import cast

from broker.domain.job import Job
from broker.protocols.canonical.parts import Part, ResultPart, TextPart
from broker.protocols.canonical.request import EmbeddingRequest
from broker.protocols.codec import Json
from broker.protocols.exact_json import exact
from broker.protocols.losses import MalformedRequest
from broker.protocols.registry import codec_of

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Kana and Han, which every tokenizer takes apart. Thai and the like some take for one unknown word."""
_SPACED = "A-Za-z\x80-\u2fff\ua000-\uf8ff\ufb00-\U0010ffff"
"""All other letters, and whatever else is not ASCII: taken for a letter, it can only make words fewer."""
_WORDS = re.compile(rf"[0-9](?:[.,:/-]?[0-9])*['0-9{_SPACED}]*|[{_SPACED}]['0-9{_SPACED}]*")
_RUNS = re.compile(rf"[{_UNSPACED}]+")
_LETTERS_PER_TOKEN = 4
"""The most, over a whole text, in kana and Han; one and a half is usual."""
_THOUGHTS = "</think>"
"""What stands before it is left out of earlier turns by most templates."""


def prompt_floor(job: Job) -> int:
    """Tokens that the texts of a job have at least; 0 when it cannot be read. Pictures and tools count for nothing."""
    try:
        request = codec_of(job.endpoint.dialect).read_request(cast("Json", exact(job.body)))
    except (MalformedRequest, ValueError):
        return 0  # whoever answers it knows better than we do
    if isinstance(request, EmbeddingRequest):
        return fewest_tokens(request.inputs)
    parts = [*request.system, *(part for turn in request.turns for part in turn.parts)]
    return fewest_tokens(text.rpartition(_THOUGHTS)[2] for text in _texts(parts))


def fewest_tokens(texts: Iterable[str]) -> int:
    """Tokens that these texts have at least."""
    fewest = 0
    for text in texts:
        fewest += sum(1 for _ in _WORDS.finditer(text))
        if not text.isascii():
            fewest += sum(map(len, _RUNS.findall(text))) // _LETTERS_PER_TOKEN
    return fewest


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        match part:
            case TextPart(text=text):
                yield text
            case ResultPart(parts=within):
                yield from _texts(within)
            case _:
                pass  # thoughts, calls and what only the vendor reads may be left out of the prompt

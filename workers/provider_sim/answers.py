"""Answers that derive from their prompt, so that anyone can check that an answer belongs to it."""

import math
import struct
from hashlib import blake2b

import orjson
from pydantic import JsonValue

from workers.provider_sim.instances import instance
from workers.provider_sim.schemas import NotFollowed

_LABELS = ("positive", "negative", "neutral", "mixed", "question", "complaint", "praise", "other")
_BYTES_PER_TOKEN = 4


def digest_of(prompt: str) -> bytes:
    """Eight bytes that stand for a prompt in answers and in the ledger."""
    return blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def text_from(digest: bytes) -> str:
    """Return the answer to the prompt with this digest."""
    return f"{_LABELS[digest[0] % len(_LABELS)]} [{digest.hex()}]"


def expected_text(prompt_text: str) -> str:
    """Return the one answer to a chat prompt, whose text is the text of its last user message.

    Looks like `neutral [9f86d081884c7d65]`: a label, and proof of the prompt.
    """
    return text_from(digest_of(prompt_text))


def expected_json(prompt_text: str, schema: JsonValue) -> JsonValue:
    """Return the one answer to a prompt that asks for JSON under `schema`, `None` where it names no schema.

    Raises `NotFollowed` where the simulator cannot make one.
    """
    text = expected_text(prompt_text)
    return {"answer": text} if schema is None else instance(schema, digest=digest_of(prompt_text), proof=text)


def expected_arguments(prompt_text: str, schema: JsonValue, nth: int = 0) -> dict[str, JsonValue]:
    """Return the arguments of the nth call, counted from 0, that answers a prompt; `schema` is that of the tool.

    Raises `NotFollowed` where the simulator cannot make them.
    """
    if schema is None or schema == {}:
        return {}
    made = expected_json(prompt_text if nth == 0 else f"{prompt_text}\n#{nth}", schema)
    if not isinstance(made, dict):
        raise NotFollowed("the arguments of a tool must be an object")
    return made


def json_text(value: JsonValue) -> str:
    """Return JSON as answers carry it inside a text; raises `NotFollowed` where JSON cannot say it."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise NotFollowed("the schema asks for a value that JSON cannot say") from None


def expected_embedding(text: str, dimensions: int) -> list[float]:
    """Return the one embedding of a text: of length 1, each number exactly a 32-bit float."""
    raw = b"".join(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=64, salt=struct.pack("<Q", block)).digest()
        for block in range(math.ceil(dimensions / 16))
    )
    numbers = [word - 2**31 + 0.5 for word in struct.unpack(f"<{len(raw) // 4}I", raw)[:dimensions]]
    length = math.hypot(*numbers)
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(x / length for x in numbers))))


def tokens_of(text: str) -> int:
    """Return a token count good enough to charge by: a quarter of the UTF-8 bytes, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)

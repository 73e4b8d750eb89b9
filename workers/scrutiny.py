"""Looks at a success before it is believed. Pure.

Servers that people run themselves answer 200 to what they did not do: they cut the prompt without a word, forget the
schema, or break off in the middle of a tool's arguments. Their provider's entry in the catalog says what to look at.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Never, Protocol

import jsonschema_rs
import orjson

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.provider import Check
from broker.domain.usage import NO_USAGE
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, TextPart
from broker.protocols.canonical.request import Format, FormatKind
from broker.protocols.exact_json import parsed
from broker.redaction import excerpt

BYTES_PER_TOKEN = 5.0
"""A prompt with more bytes to each counted token is worth a second look; English has four and a half."""
CUT_SHARE = 0.8
"""It is cut when less than this share of the fewest tokens that it can have was counted."""
CUT_TOKENS = 64
"""And that many are missing."""
FULL = 1.1
"""An estimate this much above the context window is above it, if the count says so too."""
_NEXT_TO_FULL = 16
_NEXT_TO_HALF = 8
"""Servers cut a prompt to the window or to half of it, but for so many tokens."""
_CUT_OFF = frozenset({Finish.LENGTH, Finish.CONTEXT_WINDOW})
_COMPLETE = frozenset({Finish.STOP, Finish.STOP_SEQUENCE, Finish.OTHER})
"""Ends after which an answer must have its form; one that was cut cannot."""


class Validator(Protocol):
    """What is used of a compiled schema."""

    def is_valid(self, instance: object) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What we know of a prompt without its tokenizer."""

    size_bytes: int
    """Of the whole request."""
    expected_tokens: float
    """Our estimate."""
    fewest_tokens: Callable[[], int]
    """Those that it has at least; costs some time, and is asked for only where there is reason to."""


def believed(answer: Answer, checks: Collection[Check]) -> Answer:
    """The answer without counts that cannot be true: words that took no tokens."""
    if Check.USAGE not in checks or answer.embeddings:
        return answer
    said = any(output.parts for output in answer.outputs)
    if answer.usage.input_tokens == 0 or (said and answer.usage.output_tokens == 0):
        return replace(answer, usage=NO_USAGE, notes=(*answer.notes, "usage_missing"))
    return answer


def doubt(
    answer: Answer,
    checks: Collection[Check],
    *,
    wanted: Format | None,
    prompt: Prompt | None,
    context_window: int | None,
) -> CallError | None:
    """Say why an answer is none; `None` when it is believed.

    `wanted` is the form that was asked for. `prompt` is `None` where its size says nothing (images).
    `context_window` is what the server says it has, in tokens.
    """
    if Check.TRUNCATION in checks and prompt is not None:
        error = _cut(answer, prompt, context_window)
        if error is not None:
            return error
    for output in answer.outputs:
        if Check.TOOL_ARGUMENTS in checks and (broken := _broken_call(output)) is not None:
            return _malformed(f"the arguments of {broken} are no JSON object", answer)
        if Check.SCHEMA in checks and wanted is not None and (fault := _misshapen(output, wanted)) is not None:
            return _malformed(fault, answer)
    return None


def _cut(answer: Answer, prompt: Prompt, window: int | None) -> CallError | None:
    counted = answer.usage.input_tokens
    if counted is None:
        return None
    if window is not None and not answer.embeddings:  # the window is that of each text, the count that of all
        if _overflows(counted, answer.usage.output_tokens, window):
            return _prompt_cut(f"{counted} tokens and an answer, more than its window of {window}", answer)
        if _half(counted, window) and prompt.expected_tokens > FULL * window:
            about = f"{prompt.expected_tokens:.0f}, half its window of {window}"
            return _prompt_cut(f"{counted} tokens of a prompt of about {about}", answer)
    if prompt.size_bytes <= BYTES_PER_TOKEN * counted:
        return None
    fewest = prompt.fewest_tokens()
    if counted >= CUT_SHARE * fewest or fewest - counted < CUT_TOKENS:
        return None
    return _prompt_cut(f"{counted} tokens of a prompt of at least {fewest}", answer)


def _overflows(counted: int, generated: int | None, window: int) -> bool:
    """Whether a prompt fills the window so that its answer had no room: an honest one is not answered then."""
    return counted >= window - _NEXT_TO_FULL and counted + (generated or 0) > window


def _half(counted: int, window: int) -> bool:
    return 0 <= counted - window // 2 <= _NEXT_TO_HALF


def _prompt_cut(found: str, answer: Answer) -> CallError:
    message = (
        f"the server counted {found}: it has cut the prompt. "
        "Give it a larger context window, or the job to an account that has one"
    )
    return CallError(
        error_class=ErrorClass.TOO_LARGE, scope=Scope.OTHER, message=message, code="prompt_cut", usage=answer.usage
    )


def _broken_call(output: Output) -> str | None:
    """The name of a call whose arguments are broken, unless the answer was cut at its limit."""
    if output.finish in _CUT_OFF:
        return None
    calls = (part for part in output.parts if isinstance(part, CallPart))
    return next((call.name for call in calls if call.arguments is None and not call.custom), None)


def _misshapen(output: Output, wanted: Format) -> str | None:
    if wanted.kind is FormatKind.TEXT or output.finish not in _COMPLETE:
        return None
    text = "".join(part.text for part in output.parts if isinstance(part, TextPart))
    try:
        value = parsed(text.encode())
    except ValueError:  # of JSON, or of half a surrogate pair
        return "the answer is no JSON, which was asked for"
    if wanted.kind is FormatKind.JSON_OBJECT:
        return None if isinstance(value, dict) else "the answer is no JSON object, which was asked for"
    if wanted.schema is None:
        return None
    validator = _validator(orjson.dumps(wanted.schema))
    if validator is None or validator.is_valid(value):
        return None
    return "the answer does not follow the schema that was asked for"


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Validator | None:
    """A schema, compiled; `None` for one that cannot be judged by."""
    try:
        # No formats: in most dialects of JSON Schema they are remarks, and no server's grammar holds all of them
        return jsonschema_rs.validator_for(orjson.loads(schema), retriever=_fetch_nothing, validate_formats=False)
    except ValueError:
        return None


def _fetch_nothing(uri: str) -> Never:
    """A schema comes from a producer: nothing is fetched because it says so."""
    raise ValueError(f"{uri} is not part of the schema")


def _malformed(fault: str, answer: Answer) -> CallError:
    return CallError(
        error_class=ErrorClass.MALFORMED_ANSWER,
        scope=Scope.SAME,
        message=excerpt(fault, 300),
        usage=answer.usage,
    )

"""Reads answers that have no fault."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from broker.domain.usage import Usage
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import (
    CallPart,
    Inline,
    MediaPart,
    OpaquePart,
    Part,
    ReasoningPart,
    TextPart,
)
from broker.protocols.codec import Json
from broker.protocols.gemini_generate_content.faults import block_reason, entries_of
from broker.protocols.gemini_generate_content.finish import read_finish
from broker.protocols.gemini_generate_content.logprobs import read_logprobs
from broker.protocols.gemini_generate_content.usage import total_differs, usage_of
from broker.protocols.media import kind_of, mime_type
from broker.protocols.tool_arguments import written_arguments

_TIERS = {"ON_DEMAND": "default", "ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}


def read_answer(value: Json, usage: Usage) -> Answer:
    """Read an answer; never raises where `fault_of` finds no fault."""
    reported = usage_of(value)
    notes: tuple[str, ...] = ()
    if usage.input_tokens is None:
        notes = ("usage_missing",)
    elif reported is not None and total_differs(reported, usage):
        notes = ("usage_total_differs",)
    answer_id = _name(value.get("responseId"))
    return Answer(
        model=_name(value.get("modelVersion")),
        usage=usage,
        id=answer_id,
        created=_created(value.get("createTime")),
        outputs=tuple(_outputs(value, answer_id)),
        embeddings=tuple(tuple(map(float, entry["values"])) for entry in entries_of(value)),
        service_tier=_tier(reported),
        usage_raw=reported,
        notes=notes,
    )


def _outputs(value: Json, answer_id: str | None) -> Iterator[Output]:
    candidates: Any = value.get("candidates") or []
    if not candidates:
        blocked = block_reason(value)
        if blocked is not None:
            yield Output(index=0, parts=(), finish=Finish.CONTENT_FILTER, finish_raw=blocked)
        return
    if len(candidates) > 1:
        candidates = sorted(candidates, key=lambda candidate: candidate.get("index", 0))
    for index, candidate in enumerate(candidates):
        content = candidate.get("content") or {}
        parts = tuple(_parts(content.get("parts") or [], f"{answer_id}_{index}" if answer_id else f"{index}"))
        reason = candidate["finishReason"]
        result = candidate.get("logprobsResult")
        yield Output(
            index=index,
            parts=parts,
            finish=read_finish(reason, calls=any(type(part) is CallPart for part in parts)),
            finish_raw=reason,
            logprobs=None if result is None else read_logprobs(result),
        )


def _parts(parts: list[dict[str, Any]], ids: str) -> Iterator[Part]:
    count = 0
    for part in parts:
        signature = part.get("thoughtSignature")
        signature = signature if isinstance(signature, str) else None
        call = part.get("functionCall")
        if call is not None:
            yield _call(call, signature, f"call_{ids}_{count}")
            count += 1
        elif "text" in part:
            text = part["text"]
            if part.get("thought") is True:
                yield ReasoningPart(text=text, signature=signature)
            elif text:
                yield TextPart(text=text)
        else:
            yield _other(part)


def _call(call: dict[str, Any], signature: str | None, new_id: str) -> CallPart:
    arguments = call.get("args") or {}
    call_id = call.get("id")
    return CallPart(
        id=call_id if isinstance(call_id, str) and call_id else new_id,
        name=call["name"],
        arguments=arguments,
        arguments_text=written_arguments(arguments),
        signature=signature,
    )


def _other(part: dict[str, Any]) -> Part:
    match part:
        case {"inlineData": {"mimeType": str(mime), "data": str(data)}}:
            mime = mime_type(mime)
            return MediaPart(kind=kind_of(mime), source=Inline(mime=mime, data=data))
        case _:
            kind = next((name for name in part if name != "thoughtSignature"), "empty")
            return OpaquePart(kind=kind, raw=part)


def _name(value: object) -> str | None:
    # What cannot be printed (half a surrogate pair, say) names nothing, and no database takes it
    return value if isinstance(value, str) and value and value.isprintable() else None


def _tier(reported: Any) -> str | None:
    traffic = None if reported is None else reported.get("trafficType")
    return _TIERS.get(traffic) if isinstance(traffic, str) else None


def _created(value: object) -> int | None:
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return int(moment.timestamp()) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None

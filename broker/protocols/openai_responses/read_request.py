"""Reads requests of the responses dialect. Source: OpenAI API reference, "Create a model response"."""

from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import TextPart
from broker.protocols.canonical.request import (
    Format,
    FormatKind,
    Reasoning,
    Request,
    Sampling,
    Thinking,
    Unmapped,
)
from broker.protocols.fields import (
    Object,
    an_object,
    array,
    flag,
    number,
    string,
    strings,
    unknown,
    whole,
)
from broker.protocols.losses import MalformedRequest
from broker.protocols.openai_responses.items import Items
from broker.protocols.openai_responses.tools import read_tool_choice, read_tools

LOGPROBS = "message.output_text.logprobs"
"""What `include` calls the log probabilities of the answer."""
_HINTS = (
    "store",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "image",
    "access_programs",
)
"""May always be dropped: they make an answer cheaper or quicker, or file it, and change nothing in it."""
_SAMPLING_LIKE = {
    "max_tool_calls": "how often hosted tools may be called is OpenAI's own",
    "moderation": "moderation of an answer is OpenAI's own",
    "context_management": "compaction of a conversation is OpenAI's own",
}
_STATE = {
    "previous_response_id": "an earlier response is known to OpenAI only",
    "conversation": "a conversation that OpenAI keeps is known to it only",
    "prompt": "a prompt that OpenAI keeps is known to it only",
}
_READ = frozenset(
    {
        *_HINTS,
        *_SAMPLING_LIKE,
        *_STATE,
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "temperature",
        "top_p",
        "top_logprobs",
        "include",
        "max_output_tokens",
        "user",
        "safety_identifier",
        "metadata",
        "service_tier",
        "truncation",
        "background",
        "stream",
        "stream_options",
    }
)
_POINTERS = {
    "max_output_tokens": "/max_output_tokens",
    "parallel_tools": "/parallel_tool_calls",
    "metadata": "/metadata",
    "service_tier": "/service_tier",
    "temperature": "/temperature",
    "top_p": "/top_p",
    "top_logprobs": "/top_logprobs",
    "logprobs": "/include",
    "verbosity": "/text/verbosity",
}
_TIERS = {"auto": "auto", "default": "default", "flex": "flex", "priority": "priority", "fast": "priority"}
_TEXT_KEYS = frozenset({"format", "verbosity"})
_FORMAT_KEYS = frozenset({"type", "name", "description", "schema", "strict"})
_REASONING_KEYS = frozenset({"effort", "summary", "generate_summary", "context", "mode"})


def read_request(body: Object) -> Request:
    """Read a body; raises `MalformedRequest`."""
    unmapped = _left_over(body)
    items = Items()
    instructions = string(body, "instructions")
    if instructions:
        items.system.append(TextPart(text=instructions, path="/instructions"))
    given = body.get("input")
    if given is not None:
        items.read(given)
    text = an_object(body, "text") or {}
    unmapped += unknown(text, _TEXT_KEYS, "/text")
    user_key = "user" if body.get("safety_identifier") is None else "safety_identifier"
    return Request(
        turns=tuple(items.turns),
        system=tuple(items.system),
        tools=read_tools(body, unmapped),
        tool_choice=read_tool_choice(body, unmapped),
        parallel_tools=flag(body, "parallel_tool_calls"),
        max_output_tokens=whole(body, "max_output_tokens"),
        sampling=_sampling(body, text, unmapped),
        format=_format(text, unmapped),
        reasoning=_reasoning(body, unmapped),
        user_id=string(body, user_key),
        metadata=an_object(body, "metadata"),
        service_tier=_tier(body, unmapped),
        unmapped=(*unmapped, *items.unmapped),
        pointers={**_POINTERS, "user_id": f"/{user_key}"},
    )


def _sampling(body: Object, text: Object, unmapped: list[Unmapped]) -> Sampling:
    included = strings(array(body, "include") or [], "/include")
    top = whole(body, "top_logprobs")
    asked = LOGPROBS in included
    for index, name in enumerate(included):
        if name != LOGPROBS:
            unmapped.append(_hint(f"/include/{index}", f"{name} is something that only OpenAI's answers have"))
    if top and not asked:
        unmapped.append(_hint("/top_logprobs", f"top_logprobs says nothing unless include asks for {LOGPROBS}"))
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        logprobs=True if asked else None,
        top_logprobs=top if asked else None,
        verbosity=string(text, "verbosity", "/text"),
    )


def _format(text: Object, unmapped: list[Unmapped]) -> Format | None:
    wanted = an_object(text, "format", "/text")
    if wanted is None:
        return None
    path = "/text/format"
    unmapped += unknown(wanted, _FORMAT_KEYS, path)
    match wanted.get("type"):
        case "text":
            return Format(kind=FormatKind.TEXT, path=path)
        case "json_object":
            return Format(kind=FormatKind.JSON_OBJECT, path=path)
        case "json_schema":
            return Format(
                kind=FormatKind.JSON_SCHEMA,
                name=string(wanted, "name", path),
                description=string(wanted, "description", path),
                schema=an_object(wanted, "schema", path),
                strict=flag(wanted, "strict", path),
                path=path,
            )
        case _:
            raise MalformedRequest(f"{path}/type", "must be text, json_object or json_schema")


def _reasoning(body: Object, unmapped: list[Unmapped]) -> Reasoning | None:
    path = "/reasoning"
    wanted = an_object(body, "reasoning")
    if not wanted:
        return None
    unmapped += unknown(wanted, _REASONING_KEYS, path)
    if wanted.get("context") is not None:
        unmapped.append(_hint(f"{path}/context", "which thoughts are shown to the model again is OpenAI's own"))
    if wanted.get("mode") not in (None, "standard"):
        lost = "modes of thinking are OpenAI's own"
        unmapped.append(_lost(f"{path}/mode", "unsupported_field", lost, LossClass.SAMPLING))
    shown = string(wanted, "summary", path) or string(wanted, "generate_summary", path)
    effort = string(wanted, "effort", path)
    summary = True if shown else None
    if effort is None:
        return Reasoning(mode=Thinking.AUTO, summary=summary, path=path) if summary else None
    if effort == "none":
        return Reasoning(mode=Thinking.OFF, path=f"{path}/effort")
    return Reasoning(mode=Thinking.ON, effort=effort, summary=summary, path=f"{path}/effort")


def _tier(body: Object, unmapped: list[Unmapped]) -> str | None:
    tier = string(body, "service_tier")
    if tier is not None and tier not in _TIERS:
        unmapped.append(_hint("/service_tier", "this service tier is OpenAI's own"))
        return None
    return None if tier is None else _TIERS[tier]


def _left_over(body: Object) -> list[Unmapped]:
    """List what is known and has no place in the canonical form, and what nobody knows."""
    found = unknown(body, _READ)
    found += [_hint(f"/{key}", f"{key} is OpenAI's own") for key in _HINTS if body.get(key) is not None]
    if string(body, "truncation") not in (None, "disabled"):
        found.append(_hint("/truncation", "leaving out what is too long is OpenAI's own"))
    for key, lost in _SAMPLING_LIKE.items():
        if body.get(key) is not None:
            found.append(_lost(f"/{key}", "unsupported_field", lost, LossClass.SAMPLING))
    for key, lost in _STATE.items():
        if body.get(key) is not None:
            found.append(_lost(f"/{key}", "provider_state", lost, LossClass.CONTENT))
    if flag(body, "background"):
        lost = "an answer that is made in the background cannot be waited for"
        found.append(_lost("/background", "unsupported_field", lost, LossClass.CONTENT))
    if flag(body, "stream"):
        lost = "a streamed answer cannot be translated"
        found.append(_lost("/stream", "unsupported_field", lost, LossClass.CONTENT))
    return found


def _hint(path: str, detail: str) -> Unmapped:
    return _lost(path, "unsupported_field", detail, LossClass.HINT)


def _lost(path: str, code: str, detail: str, loss_class: LossClass) -> Unmapped:
    return Unmapped(path=path, code=code, detail=detail, loss_class=loss_class)

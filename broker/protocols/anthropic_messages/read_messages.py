"""Reads the messages and the system prompt: speakers and their blocks."""

from typing import Any

from broker.domain.loss import LossClass
from broker.protocols.anthropic_messages.media import read_document, read_image, read_search_result
from broker.protocols.canonical.parts import (
    CallPart,
    MediaPart,
    OpaquePart,
    Part,
    ReasoningPart,
    ResultPart,
    TextPart,
)
from broker.protocols.canonical.request import Role, Turn, Unmapped
from broker.protocols.fields import Object, an_object, array, flag, objects, string, the_string, unknown
from broker.protocols.losses import MalformedRequest
from broker.protocols.tool_arguments import written_arguments

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_MESSAGE = frozenset({"role", "content"})
_TEXT = frozenset({"type", "text", "cache_control", "citations"})
_THINKING = frozenset({"type", "thinking", "signature"})
_REDACTED = frozenset({"type", "data"})
_CALL = frozenset({"type", "id", "name", "input", "cache_control", "caller"})
_RESULT = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})


def read_turns(body: Object, unmapped: list[Unmapped]) -> tuple[Turn, ...]:
    """Read all messages; raises `MalformedRequest`. What has no place is added to `unmapped`."""
    messages = array(body, "messages")
    if not messages:
        raise MalformedRequest("/messages", "must be an array that is not empty")
    return tuple(_turn(message, path, unmapped) for message, path in objects(messages, "/messages"))


def read_system(body: Object, unmapped: list[Unmapped]) -> tuple[TextPart, ...]:
    """Read the system prompt, a text or blocks of text; raises `MalformedRequest`."""
    system = body.get("system")
    if system is None or system == "":
        return ()
    if isinstance(system, str):
        return (TextPart(text=system, path="/system"),)
    if not isinstance(system, list):
        raise MalformedRequest("/system", "must be a string or an array of text blocks")
    parts = []
    for block, path in objects(system, "/system"):
        if block.get("type") != "text":
            raise MalformedRequest(f"{path}/type", "must be text")
        parts.append(_text(block, path, unmapped))
    return tuple(parts)


def cache_of(value: Object, at: str) -> str | None:
    """The time to live of a cache mark, if there is one."""
    mark = an_object(value, "cache_control", at)
    return None if mark is None else string(mark, "ttl", f"{at}/cache_control") or ""


def _turn(message: dict[str, Any], path: str, unmapped: list[Unmapped]) -> Turn:
    spoken = message.get("role")
    role = _ROLES.get(spoken) if isinstance(spoken, str) else None
    if role is None:
        raise MalformedRequest(f"{path}/role", "must be user, assistant or system")
    if len(message) > 2:
        unmapped += unknown(message, _MESSAGE, path)
    content = message.get("content")
    if isinstance(content, str):
        parts: tuple[Part, ...] = (TextPart(text=content, path=f"{path}/content"),) if content else ()
    elif isinstance(content, list):
        read: list[Part] = []
        for block, at in objects(content, f"{path}/content"):
            read += _parts(block, at, role, unmapped)
        parts = tuple(read)
    else:
        raise MalformedRequest(f"{path}/content", "must be a string or an array of blocks")
    return Turn(role=role, parts=parts, path=path)


def _parts(block: dict[str, Any], path: str, role: Role, unmapped: list[Unmapped]) -> tuple[Part, ...]:
    """Read a block. A type that nobody knows, and what a tool of Anthropic's own said, is opaque."""
    match block.get("type"):
        case "text":
            return (_text(block, path, unmapped),)
        case "tool_use" if role is Role.ASSISTANT:
            return (_call(block, path, unmapped),)
        case "tool_result" if role is Role.USER:
            return (_result(block, path, unmapped),)
        case "tool_use" | "tool_result" as kind:
            raise MalformedRequest(path, f"a message of role {role} has no {kind}")
        case "thinking":
            unmapped += unknown(block, _THINKING, path)
            text = string(block, "thinking", path) or ""
            return (ReasoningPart(text=text, signature=string(block, "signature", path), path=path),)
        case "redacted_thinking":
            unmapped += unknown(block, _REDACTED, path)
            return (ReasoningPart(signature=the_string(block, "data", path), path=path),)
        case str(kind):
            return _media(block, path, unmapped) or (OpaquePart(kind=kind, raw=block, path=path),)
        case _:
            raise MalformedRequest(f"{path}/type", "must be a string, such as text")


def _media(block: dict[str, Any], path: str, unmapped: list[Unmapped]) -> tuple[TextPart | MediaPart, ...]:
    match block["type"]:
        case "image":
            return (read_image(block, path, cache_of(block, path), unmapped),)
        case "document":
            return read_document(block, path, cache_of(block, path), unmapped)
        case "search_result":
            return (read_search_result(block, path, cache_of(block, path), unmapped),)
        case _:
            return ()


def _text(block: dict[str, Any], path: str, unmapped: list[Unmapped]) -> TextPart:
    text = the_string(block, "text", path)
    if len(block) == 2:
        return TextPart(text=text, path=path)
    unmapped += unknown(block, _TEXT, path)
    if block.get("citations"):
        what = "where a text has its words from is told in Anthropic's own way"
        unmapped.append(_unmapped(f"{path}/citations", "unsupported_field", what, LossClass.HINT))
    return TextPart(text=text, path=path, cache=cache_of(block, path))


def _call(block: dict[str, Any], path: str, unmapped: list[Unmapped]) -> CallPart:
    arguments = an_object(block, "input", path)
    if arguments is None:
        raise MalformedRequest(f"{path}/input", "is missing")
    if len(block) > 4:
        unmapped += unknown(block, _CALL, path)
        caller = an_object(block, "caller", path)
        if caller is not None and caller.get("type") != "direct":
            what = "a call that was made by a program of Anthropic's code execution"
            unmapped.append(_unmapped(f"{path}/caller", "hosted_tool", what, LossClass.CONTENT, droppable=True))
    try:
        text = written_arguments(arguments)
    except ValueError:
        raise MalformedRequest(f"{path}/input", "is nested too deeply") from None
    return CallPart(
        id=the_string(block, "id", path),
        name=the_string(block, "name", path),
        arguments=arguments,
        arguments_text=text,
        path=path,
        cache=cache_of(block, path),
    )


def _result(block: dict[str, Any], path: str, unmapped: list[Unmapped]) -> ResultPart:
    unmapped += unknown(block, _RESULT, path)
    content = block.get("content")
    parts: list[TextPart | MediaPart] = []
    if isinstance(content, str):
        if content:
            parts.append(TextPart(text=content, path=f"{path}/content"))
    elif isinstance(content, list):
        for inner, at in objects(content, f"{path}/content"):
            parts += _result_parts(inner, at, unmapped)
    elif content is not None:
        raise MalformedRequest(f"{path}/content", "must be a string or an array of blocks")
    return ResultPart(
        call_id=the_string(block, "tool_use_id", path),
        parts=tuple(parts),
        is_error=flag(block, "is_error", path) is True,
        path=path,
        cache=cache_of(block, path),
    )


def _result_parts(block: dict[str, Any], path: str, unmapped: list[Unmapped]) -> tuple[TextPart | MediaPart, ...]:
    kind = the_string(block, "type", path)
    if kind == "text":
        return (_text(block, path, unmapped),)
    parts = _media(block, path, unmapped)
    if not parts:
        what = f"a block of type {kind} is understood by its own vendor only"
        unmapped.append(_unmapped(path, "foreign_block", what, LossClass.CONTENT, droppable=True))
    return parts


def _unmapped(path: str, code: str, detail: str, loss_class: LossClass, *, droppable: bool = False) -> Unmapped:
    return Unmapped(path=path, code=code, detail=detail, loss_class=loss_class, droppable=droppable)

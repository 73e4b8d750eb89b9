"""Parts of a request's contents: read, and written."""

from collections.abc import Iterator, Mapping
from typing import Any

from broker.domain.caps import Caps
from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import (
    CallPart,
    MediaPart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    ResultPart,
    TextPart,
)
from broker.protocols.canonical.request import Unmapped
from broker.protocols.exact_json import written
from broker.protocols.gemini_generate_content.media import read_detail, read_file, read_inline, write_media
from broker.protocols.gemini_generate_content.proto_json import Message
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.tool_arguments import UNPARSABLE_KEY, arguments_object

_DATA = frozenset(
    {
        *("text", "inlineData", "fileData", "functionCall", "functionResponse"),
        *("executableCode", "codeExecutionResult", "toolCall", "toolResponse"),
    }
)
"""What a part is: it has one of them."""
_USUAL = _DATA | {"thought", "thoughtSignature", "mediaResolution"}
_KNOWN = _USUAL | {"videoMetadata", "partMetadata"}
_CALL = frozenset({"id", "name", "args"})
_PIECES = ("partialArgs", "willContinue")
_RESPONSE = frozenset({"id", "name", "response", "parts"})
_GOES_ON = ("willContinue", "scheduling")


def read_part(value: dict[str, Any], path: str, unmapped: list[Unmapped]) -> Iterator[Part]:
    """Read one part; ids of calls and responses are empty where none is given. Raises `MalformedRequest`."""
    part = Message(value, path)
    kind = _kind(part)
    if not part.members.keys() <= _USUAL:
        strange = next((name for name, inner in part.members.items() if name not in _KNOWN and inner is not None), None)
        if kind is None and strange is not None:  # a kind of the future
            yield OpaquePart(kind=strange, raw=value, path=path)
            return
        unmapped += _beside(part)
    signature = part.string("thoughtSignature")
    if kind == "text":
        yield from _text(part, signature, path)
    elif kind is not None:
        yield _not_text(part, kind, signature, unmapped)
        if signature is not None and kind != "functionCall":
            yield ReasoningPart(signature=signature, path=path)
    elif signature is not None:
        yield ReasoningPart(signature=signature, path=path)
    else:
        raise MalformedRequest(path, "has no text, inlineData, fileData, functionCall or functionResponse")


def _not_text(part: Message, kind: str, signature: str | None, unmapped: list[Unmapped]) -> Part:
    path = part.path
    match kind:
        case "functionCall":
            return _call(_inner(part, kind), signature, path, unmapped)
        case "functionResponse":
            return _result(_inner(part, kind), path, unmapped)
        case "inlineData":
            return read_inline(_inner(part, kind), path, detail=read_detail(part))
        case "fileData":
            return read_file(_inner(part, kind), path, detail=read_detail(part))
        case _:
            return OpaquePart(kind=kind, raw=part.members, path=path)


def _kind(part: Message) -> str | None:
    """Say what a part is: the one member of `_DATA` that it has."""
    kind = None
    for name, value in part.members.items():
        if name in _DATA and value is not None:
            if kind is not None:
                raise MalformedRequest(part.path, f"has {kind} and {name}, of which a part has one")
            kind = name
    return kind


def _inner(part: Message, name: str) -> Message:
    found = part.message(name)
    return Message({}, part.at(name)) if found is None else found


def _beside(part: Message) -> list[Unmapped]:
    found = part.unknown(_KNOWN)
    what = "the clip and the frame rate of a video are Gemini's own"
    found += part.unsupported("videoMetadata", what, LossClass.CONTENT, droppable=True)
    found += part.unsupported("partMetadata", "metadata of parts are Gemini's own", LossClass.HINT)
    return found


def _text(part: Message, signature: str | None, path: str) -> Iterator[Part]:
    text = part.string("text") or ""
    if part.flag("thought"):
        yield ReasoningPart(text=text, signature=signature, path=path)
        return
    yield TextPart(text=text, path=path)
    if signature is not None:  # a seal on plain text: of use to Gemini only, as thoughts are
        yield ReasoningPart(signature=signature, path=path)


def _call(call: Message, signature: str | None, path: str, unmapped: list[Unmapped]) -> CallPart:
    if not call.members.keys() <= _CALL:
        unmapped += call.unknown(_CALL.union(_PIECES))
        for name in _PIECES:
            unmapped += call.unsupported(name, "a call that comes in pieces is Gemini's own", LossClass.CONTENT)
    arguments = call.object("args") or {}
    return CallPart(
        id=call.string("id") or "",
        name=call.the_string("name"),
        arguments=arguments,
        arguments_text=_as_text(arguments, call.at("args")),
        signature=signature,
        path=path,
    )


def _result(result: Message, path: str, unmapped: list[Unmapped]) -> ResultPart:
    """Read a response: `output` is what the tool said, `error` what went wrong, anything else is said as a whole."""
    if not result.members.keys() <= _RESPONSE:
        unmapped += result.unknown(_RESPONSE.union(_GOES_ON))
        for name in _GOES_ON:
            unmapped += result.unsupported(name, "a tool that goes on answering is Gemini's own", LossClass.SAMPLING)
    response = result.object("response") or {}
    at = result.at("response")
    value: Mapping[str, object] | None = None
    is_error = False
    match response:
        case {"output": output, **rest} if not rest:
            said = output
        case {"error": error, **rest} if not rest:
            said, is_error = error, True
        case _:
            said = response or None
    if isinstance(said, str):
        text = said
    elif said is None:
        text = ""
    else:
        text = _as_text(said, at)
        value = said if isinstance(said, dict) else None
    parts: list[TextPart | MediaPart] = [TextPart(text=text, path=at)] if text else []
    if result.has("parts"):
        parts += _media(result, unmapped)
    return ResultPart(
        call_id=result.string("id") or "",
        name=result.the_string("name"),
        parts=tuple(parts),
        is_error=is_error,
        value=value,
        path=path,
    )


def _media(result: Message, unmapped: list[Unmapped]) -> Iterator[MediaPart]:
    for part in result.messages("parts"):
        inline, file = part.message("inlineData"), part.message("fileData")
        unmapped += part.unknown(frozenset({"inlineData", "fileData", "mediaResolution"}))
        if inline is not None:
            yield read_inline(inline, part.path)
        elif file is not None:
            yield read_file(file, part.path)
        else:
            raise MalformedRequest(part.path, "has neither inlineData nor fileData")


def _as_text(value: object, path: str) -> str:
    try:
        return written(value).decode()
    except ValueError as fault:
        raise MalformedRequest(path, str(fault)) from fault


def write_part(part: Part, caps: Caps, losses: Losses) -> Iterator[dict[str, object]]:
    """Write one part; what the target cannot hold is noted and left out."""
    match part:
        case TextPart(text=text):
            note_mark(part, losses)
            if text:
                yield {"text": text}
        case RefusalPart(text=text):
            yield {"text": text}
        case MediaPart():
            note_mark(part, losses)
            yield from _written_media(part, caps, losses)
        case CallPart():
            note_mark(part, losses)
            yield _written_call(part, losses)
        case ResultPart():
            note_mark(part, losses)
            yield {"functionResponse": _written_result(part, caps, losses)}
        case _:
            losses.content(part.path, "unsupported_part", "Gemini cannot hold this in a message")


def note_mark(part: TextPart | MediaPart | CallPart | ResultPart, losses: Losses) -> None:
    """Note a cache mark: Gemini finds by itself what it has read before."""
    if part.cache is not None:
        losses.hint(part.path, "cache_mark", "a cache mark")


def _written_media(part: MediaPart, caps: Caps, losses: Losses) -> Iterator[dict[str, object]]:
    if part.context:
        losses.converted(part.path, "document_context", "what is told about a document becomes a text before it")
        yield {"text": part.context}
    media = write_media(part, caps, losses)
    if media is not None:
        yield media


def _written_call(call: CallPart, losses: Losses) -> dict[str, object]:
    if call.custom:
        what = f"the call of {call.name} has free text as its argument"
        losses.content(call.path, "custom_tool", what, droppable=True)
        arguments: Mapping[str, object] = {UNPARSABLE_KEY: call.arguments_text}
    else:
        arguments = arguments_object(call, losses)
    part: dict[str, object] = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
    if call.signature is not None:
        part["thoughtSignature"] = call.signature
    return part


def _written_result(result: ResultPart, caps: Caps, losses: Losses) -> dict[str, object]:
    texts: list[str] = []
    media: list[dict[str, object]] = []
    for part in result.parts:
        note_mark(part, losses)
        if isinstance(part, TextPart):
            texts.append(part.text)
            continue
        for written_part in _written_media(part, caps, losses):
            if "text" in written_part:
                texts.append(str(written_part["text"]))
            else:
                media.append(written_part)
    said: object = "\n".join(texts) if result.value is None else result.value
    if result.is_error:
        response: Mapping[str, object] = {"error": said}
    elif result.value is None or result.value.keys() <= {"output", "error"}:
        response = {"output": said}
    else:
        response = result.value
    written_result: dict[str, object] = {"id": result.call_id, "name": result.name or "", "response": response}
    if media:
        written_result["parts"] = media
    return written_result

"""Writes a conversation as items: messages, calls and results."""

from collections.abc import Iterator

from broker.domain.caps import Caps
from broker.protocols.canonical.parts import (
    CallPart,
    Inline,
    MediaKind,
    MediaPart,
    Part,
    PlainText,
    ProviderFile,
    RefusalPart,
    ResultPart,
    TextPart,
    Url,
)
from broker.protocols.canonical.request import Request, Role, Turn
from broker.protocols.losses import Losses
from broker.protocols.media import IMAGES, PDF, PLAIN, as_data_url, plain_text
from broker.protocols.tool_arguments import arguments_text

_DETAILS = frozenset({"low", "high", "auto", "original"})
_DOCUMENT_NAME = "document.pdf"


def write_items(request: Request, caps: Caps, losses: Losses) -> list[dict[str, object]]:
    """Write the conversation behind what stands in `instructions`; what cannot be said is noted."""
    writer = _Writer(caps, losses)
    for turn in request.turns:
        match turn.role:
            case Role.ASSISTANT:
                writer.assistant(turn)
            case Role.USER:
                writer.user(turn)
            case Role.SYSTEM:
                writer.message(caps.system_role, turn.parts)
    return writer.items


def write_operator(request: Request, caps: Caps, losses: Losses) -> Iterator[dict[str, object]]:
    """Write what operators say before the conversation as items, one for each message or block."""
    for part in request.system:
        writer = _Writer(caps, losses)
        writer.message(caps.system_role, (part,))
        yield from writer.items


class _Writer:
    """Writes turn by turn."""

    __slots__ = ("_caps", "_losses", "items")

    def __init__(self, caps: Caps, losses: Losses) -> None:
        self._caps = caps
        self._losses = losses
        self.items: list[dict[str, object]] = []

    def user(self, turn: Turn) -> None:
        """Write the results, and then what the user says."""
        said: list[Part] = []
        for part in turn.parts:
            if isinstance(part, ResultPart):
                self._result(part)
            else:
                said.append(part)
        if said:
            self.message("user", tuple(said))

    def message(self, role: str, parts: tuple[Part, ...]) -> None:
        """Write a message of a user or an operator: one plain text as a string, else parts."""
        content = self._content(parts)
        if content:
            self.items.append({"role": role, "content": content})

    def assistant(self, turn: Turn) -> None:
        """Write what the assistant said, and then the calls: its texts stand before them."""
        calls = [part for part in turn.parts if isinstance(part, CallPart)]
        if any(isinstance(part, CallPart) for part in turn.parts[: len(turn.parts) - len(calls)]):
            self._losses.converted(turn.path, "text_moved", "what the assistant said moves before its calls")
        for part in turn.parts:
            match part:
                case TextPart(text=text):
                    self._note_mark(part)
                    self.items.append({"type": "message", "role": "assistant", "content": text})
                case RefusalPart():
                    self.items.append(self._refusal(part))
                case CallPart():
                    continue
                case _:
                    what = "an assistant's message holds text and calls only"
                    self._losses.content(part.path, "unsupported_part", what)
        for call in calls:
            self._call(call)

    def _refusal(self, part: RefusalPart) -> dict[str, object]:
        """Write a refusal, which only a complete output message may hold: its id tells where it stands."""
        return {
            "type": "message",
            "role": "assistant",
            "id": f"msg_{len(self.items)}",
            "status": "completed",
            "content": [{"type": "refusal", "refusal": part.text}],
        }

    def _call(self, call: CallPart) -> None:
        if call.custom:
            what = f"the call of {call.name} has free text as its argument"
            self._losses.content(call.path, "custom_tool", what, droppable=True)
        if call.signature is not None:
            what = "the seal of a thought is of use to its own vendor only"
            self._losses.hint(call.path, "signature_dropped", what)
        self._note_mark(call)
        self.items.append(
            {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments_text(call)}
        )

    def _result(self, result: ResultPart) -> None:
        if result.is_error:
            self._losses.hint(result.path, "is_error_dropped", "that a tool failed is told by its text only")
        self._note_mark(result)
        output = self._content(result.parts) or ""
        self.items.append({"type": "function_call_output", "call_id": result.call_id, "output": output})

    def _content(self, parts: tuple[Part, ...]) -> str | list[dict[str, object]]:
        if len(parts) == 1 and type(parts[0]) is TextPart and (parts[0].cache is None or not self._caps.cache_marks):
            self._note_mark(parts[0])
            return parts[0].text
        return [written for part in parts for written in self._part(part)]

    def _part(self, part: Part) -> Iterator[dict[str, object]]:
        match part:
            case TextPart(text=text) | RefusalPart(text=text):
                if text:
                    yield {"type": "input_text", "text": text} | self._mark(part)
            case MediaPart():
                if part.context:
                    what = "what is told about a document becomes a text before it"
                    self._losses.converted(part.path, "document_context", what)
                    yield {"type": "input_text", "text": part.context}
                medium = self._medium(part)
                if medium is not None:
                    yield medium | self._mark(part)
            case _:
                self._losses.content(part.path, "unsupported_part", "a message cannot hold this")

    def _medium(self, part: MediaPart) -> dict[str, object] | None:
        match part.source:
            case ProviderFile():
                what = "a file is known to the vendor that keeps it only"
                self._losses.content(part.path, "foreign_file", what)
                return None
            case PlainText(text=text):
                return self._document_as_text(part, text)
            case Inline(mime=mime) as inline if mime == PLAIN and (words := plain_text(inline)) is not None:
                return self._document_as_text(part, words)
        if part.kind is MediaKind.IMAGE and self._caps.images:
            return self._image(part)
        if part.kind is MediaKind.DOCUMENT and self._caps.documents:
            return self._document(part)
        self._losses.content(part.path, "unsupported_media", f"the target takes no {part.kind}")
        return None

    def _image(self, part: MediaPart) -> dict[str, object] | None:
        url: str | None = None
        match part.source:
            case Inline(mime=mime) as inline if mime in IMAGES:
                url = as_data_url(inline)
            case Url():
                url = part.source.url
            case Inline(mime=mime):
                self._losses.content(part.path, "unsupported_media", f"the target takes no {mime}")
        if url is None:
            return None
        return {"type": "input_image", "image_url": url, "detail": part.detail if part.detail in _DETAILS else "auto"}

    def _document(self, part: MediaPart) -> dict[str, object] | None:
        match part.source:
            case Inline(mime=mime) as inline if mime == PDF:
                name = part.filename or _DOCUMENT_NAME
                return {"type": "input_file", "filename": name, "file_data": as_data_url(inline)}
            case Url(url=url):
                if part.filename:
                    self._losses.hint(part.path, "unsupported_field", "a document by its URL has no name of its own")
                return {"type": "input_file", "file_url": url}
            case Inline(mime=mime):
                self._losses.content(part.path, "unsupported_media", f"the target takes no {mime}")
        return None

    def _document_as_text(self, part: MediaPart, text: str) -> dict[str, object]:
        what = f"a document of type {PLAIN} becomes a text, its title first"
        self._losses.converted(part.path, "document_as_text", what)
        return {"type": "input_text", "text": f"{part.filename}\n{text}" if part.filename else text}

    def _mark(self, part: TextPart | MediaPart | RefusalPart) -> dict[str, object]:
        """Write a cache mark, with the vendor's own time to live: the words of others mean other times."""
        if isinstance(part, RefusalPart) or part.cache is None:
            return {}
        if self._caps.cache_marks:
            return {"prompt_cache_breakpoint": {"mode": "explicit"}}
        self._note_mark(part)
        return {}

    def _note_mark(self, part: TextPart | MediaPart | CallPart | ResultPart) -> None:
        if part.cache is not None:
            self._losses.hint(part.path, "cache_mark", "a cache mark")

"""Parts of chat messages, written: what a model is shown, and what a chat has no words for."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from broker.domain.caps import Caps
from broker.protocols.canonical.parts import (
    Inline,
    MediaKind,
    MediaPart,
    Part,
    PlainText,
    ProviderFile,
    RefusalPart,
    TextPart,
    Url,
)
from broker.protocols.losses import Losses
from broker.protocols.media import AUDIO_FORMATS, IMAGES, PDF, PLAIN, as_data_url, plain_text

_AUDIO_NAMES = {mime: name for name, mime in AUDIO_FORMATS.items()}
_DETAILS = ("low", "high", "auto")
_DOCUMENT_NAME = "document.pdf"


def write_parts(parts: Sequence[Part], caps: Caps, losses: Losses) -> str | list[dict[str, object]]:
    """Write what somebody says: one text as a string, else parts."""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        mark = _mark(parts[0], caps, losses)
        return [{"type": "text", "text": parts[0].text} | mark] if mark else parts[0].text
    return [written for part in parts for written in _part(part, caps, losses)] or ""


def _mark(part: TextPart | MediaPart, caps: Caps, losses: Losses) -> dict[str, object]:
    """Write a cache mark, with the vendor's own time to live: the words of others mean other times."""
    if part.cache is None:
        return {}
    if caps.cache_marks:
        return {"prompt_cache_breakpoint": {"mode": "explicit"}}
    losses.hint(part.path, "cache_mark", "a cache mark")
    return {}


def _part(part: Part, caps: Caps, losses: Losses) -> Iterator[dict[str, object]]:
    match part:
        case TextPart(text=text):
            mark = _mark(part, caps, losses)
            if text:
                yield {"type": "text", "text": text} | mark
        case RefusalPart(text=text):
            yield {"type": "text", "text": text}
        case MediaPart():
            if part.context:
                what = "what is told about a document becomes a text before it"
                losses.converted(part.path, "document_context", what)
                yield {"type": "text", "text": part.context}
            medium = _medium(part, caps, losses)
            if medium is not None:
                yield medium | _mark(part, caps, losses)
        case _:
            losses.content(part.path, "unsupported_part", "a user's message in a chat cannot hold this")


def _medium(part: MediaPart, caps: Caps, losses: Losses) -> dict[str, object] | None:
    match part.source:
        case ProviderFile():
            losses.content(part.path, "foreign_file", "a file is known to the vendor that keeps it only")
            return None
        case PlainText(text=text):
            return _document_as_text(part, text, losses)
        case Url(url=url):
            if caps.images and part.kind is MediaKind.IMAGE:
                return _image(url, part, losses)
            losses.content(part.path, "unsupported_media", f"the target takes no {part.kind} by its URL")
            return None
        case Inline() as inline:
            return _inline(inline, part, caps, losses)
        case _:
            assert_never(part.source)


def _inline(inline: Inline, part: MediaPart, caps: Caps, losses: Losses) -> dict[str, object] | None:
    mime = inline.mime
    if mime == PLAIN:
        words = plain_text(inline)
        if words is not None:
            return _document_as_text(part, words, losses)
    if caps.images and mime in IMAGES:
        return _image(as_data_url(inline), part, losses)
    if caps.audio and mime in _AUDIO_NAMES:
        return {"type": "input_audio", "input_audio": {"data": inline.data, "format": _AUDIO_NAMES[mime]}}
    if caps.documents and mime == PDF:
        name = part.filename or _DOCUMENT_NAME
        return {"type": "file", "file": {"filename": name, "file_data": as_data_url(inline)}}
    losses.content(part.path, "unsupported_media", f"the target takes no {mime}")
    return None


def _document_as_text(part: MediaPart, text: str, losses: Losses) -> dict[str, object]:
    losses.converted(part.path, "document_as_text", f"a document of type {PLAIN} becomes a text, its title first")
    return {"type": "text", "text": f"{part.filename}\n{text}" if part.filename else text}


def _image(url: str, part: MediaPart, losses: Losses) -> dict[str, object]:
    image: dict[str, object] = {"url": url}
    if part.detail in _DETAILS:
        image["detail"] = part.detail
    elif part.detail is not None:
        losses.hint(part.path, "detail_dropped", "how closely to look at an image has other words in a chat")
    return {"type": "image_url", "image_url": image}

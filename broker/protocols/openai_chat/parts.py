"""Parts of chat messages: texts, images, sounds and files, read and written."""

from typing import Any

from broker.protocols.canonical.parts import (
    Inline,
    MediaKind,
    MediaPart,
    OpaquePart,
    Part,
    PlainText,
    ProviderFile,
    RefusalPart,
    TextPart,
    Url,
)
from broker.protocols.fields import an_object, string, the_string
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.media import AUDIO_FORMATS, IMAGES, PDF, PLAIN, as_data_url, data_url

_AUDIO_NAMES = {mime: name for name, mime in AUDIO_FORMATS.items()}


def read_part(part: dict[str, Any], path: str) -> Part:
    """Read one part; raises `MalformedRequest`. A type that nobody knows is opaque."""
    match part.get("type"):
        case "text":
            cache = "" if part.get("prompt_cache_breakpoint") or part.get("cache_control") else None
            return TextPart(text=the_string(part, "text", path), path=path, cache=cache)
        case "image_url":
            return _image(an_object(part, "image_url", path) or {}, path)
        case "input_audio":
            audio = an_object(part, "input_audio", path) or {}
            name = the_string(audio, "format", f"{path}/input_audio")
            data = the_string(audio, "data", f"{path}/input_audio")
            source = Inline(mime=AUDIO_FORMATS.get(name, f"audio/{name}"), data=data)
            return MediaPart(kind=MediaKind.AUDIO, source=source, path=path)
        case "file":
            return _file(an_object(part, "file", path) or {}, path)
        case "refusal":
            return RefusalPart(text=the_string(part, "refusal", path), path=path)
        case str(kind):
            return OpaquePart(kind=kind, raw=part, path=path)
        case _:
            raise MalformedRequest(f"{path}/type", "must be a string, such as text")


def _image(image: dict[str, Any], path: str) -> MediaPart:
    at = f"{path}/image_url"
    url = the_string(image, "url", at)
    source = data_url(url) or Url(url=url)
    if isinstance(source, Url) and not url.lower().startswith(("http://", "https://", "gs://")):
        raise MalformedRequest(f"{at}/url", "must be an http URL or a base64 data URL")
    return MediaPart(kind=MediaKind.IMAGE, source=source, detail=string(image, "detail", at), path=path)


def _file(file: dict[str, Any], path: str) -> MediaPart:
    at = f"{path}/file"
    filename = string(file, "filename", at)
    data = string(file, "file_data", at)
    if data is None:
        reference = the_string(file, "file_id", at)
        return MediaPart(
            kind=MediaKind.DOCUMENT, source=ProviderFile(reference=reference), filename=filename, path=path
        )
    source = data_url(data)
    if source is None:
        raise MalformedRequest(f"{at}/file_data", "must be a base64 data URL")
    return MediaPart(kind=MediaKind.DOCUMENT, source=source, filename=filename, path=path)


def write_parts(parts: tuple[Part, ...], losses: Losses) -> str | list[dict[str, object]]:
    """Write the parts of a user message: one text as a string, else parts."""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        _note_mark(parts[0], losses)
        return parts[0].text
    return [written for part in parts if (written := write_part(part, losses)) is not None]


def write_part(part: Part, losses: Losses) -> dict[str, object] | None:
    """Write one part of a user message; `None` for what a chat cannot hold, which is noted."""
    match part:
        case TextPart(text=text):
            _note_mark(part, losses)
            return {"type": "text", "text": text}
        case MediaPart():
            _note_mark(part, losses)
            return _media(part, losses)
        case RefusalPart(text=text):
            return {"type": "text", "text": text}
        case _:
            losses.content(part.path, "unsupported_part", "a user's message in a chat cannot hold this")
            return None


def _media(part: MediaPart, losses: Losses) -> dict[str, object] | None:
    match part.source:
        case ProviderFile():
            losses.content(part.path, "foreign_file", "a file is known to the vendor that keeps it only")
        case PlainText(text=text):
            return _document_as_text(part, text, losses)
        case Inline(mime=mime) as inline if part.kind is MediaKind.IMAGE and mime in IMAGES:
            return _image_url(as_data_url(inline), part)
        case Url(url=url) if part.kind is MediaKind.IMAGE:
            return _image_url(url, part)
        case Inline(mime=mime, data=data) if mime in _AUDIO_NAMES:
            return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_NAMES[mime]}}
        case Inline(mime=mime) as inline if mime == PDF:
            _note_context(part, losses)
            name = part.filename or "document.pdf"
            return {"type": "file", "file": {"filename": name, "file_data": as_data_url(inline)}}
        case Inline(mime=mime):
            losses.content(part.path, "unsupported_media", f"a chat takes no {mime}")
        case Url():
            losses.content(part.path, "unsupported_media", f"a chat takes no {part.kind} by its URL")
    return None


def _document_as_text(part: MediaPart, text: str, losses: Losses) -> dict[str, object]:
    losses.converted(part.path, "document_as_text", f"a document of type {PLAIN} becomes a text, its title first")
    _note_context(part, losses)
    return {"type": "text", "text": f"{part.filename}\n{text}" if part.filename else text}


def _image_url(url: str, part: MediaPart) -> dict[str, object]:
    image: dict[str, object] = {"url": url}
    if part.detail in ("low", "high", "auto"):
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _note_context(part: MediaPart, losses: Losses) -> None:
    if part.context:
        losses.content(part.path, "document_context", "what is told about a document has no place in a chat")


def _note_mark(part: TextPart | MediaPart, losses: Losses) -> None:
    if part.cache is not None:
        losses.hint(part.path, "cache_mark", "a cache mark")

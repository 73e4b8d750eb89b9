"""Parts of chat messages, read: texts, images, sounds and files."""

from typing import Any

from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import (
    Inline,
    MediaKind,
    MediaPart,
    OpaquePart,
    Part,
    ProviderFile,
    RefusalPart,
    TextPart,
    Url,
)
from broker.protocols.canonical.request import Unmapped
from broker.protocols.fields import Object, an_object, objects, string, the_string, unknown
from broker.protocols.losses import MalformedRequest
from broker.protocols.media import AUDIO_FORMATS, data_url, kind_of

_MARKS = frozenset({"prompt_cache_breakpoint", "cache_control"})
"""OpenAI's, and Anthropic's in chats of OpenRouter and others."""
_KEYS = {
    "text": frozenset({"type", "text", *_MARKS}),
    "image_url": frozenset({"type", "image_url", *_MARKS}),
    "input_audio": frozenset({"type", "input_audio", *_MARKS}),
    "file": frozenset({"type", "file", *_MARKS}),
    "refusal": frozenset({"type", "refusal"}),
}
_IMAGE_KEYS = frozenset({"url", "detail"})
_AUDIO_KEYS = frozenset({"data", "format"})
_FILE_KEYS = frozenset({"filename", "file_data", "file_id"})
_URLS = ("http://", "https://", "gs://")


def read_content(message: Object, path: str, unmapped: list[Unmapped]) -> list[Part]:
    """Read what a message says: a text is one part, and an empty one is none. Raises `MalformedRequest`."""
    content = message.get("content")
    if content is None or content == "":
        return []
    if type(content) is str:
        return [TextPart(text=content, path=f"{path}/content")]
    if type(content) is list:
        return [_part(part, at, unmapped) for part, at in objects(content, f"{path}/content")]
    raise MalformedRequest(f"{path}/content", "must be a string or an array of parts")


def only_texts_and_media(parts: list[Part], unmapped: list[Unmapped]) -> tuple[TextPart | MediaPart, ...]:
    """What operators and tools may say; anything else is noted."""
    kept: list[TextPart | MediaPart] = []
    for part in parts:
        if isinstance(part, TextPart | MediaPart):
            kept.append(part)
        else:
            lost = "neither operators nor tools say such a thing"
            unmapped.append(
                Unmapped(path=part.path, code="unsupported_part", detail=lost, loss_class=LossClass.CONTENT)
            )
    return tuple(kept)


def _part(part: dict[str, Any], path: str, unmapped: list[Unmapped]) -> Part:
    """Read one part. A type that nobody knows is opaque."""
    kind = part.get("type")
    if type(kind) is not str:
        raise MalformedRequest(f"{path}/type", "must be a string, such as text")
    known = _KEYS.get(kind)
    if known is None:
        return OpaquePart(kind=kind, raw=part, path=path)
    unmapped += unknown(part, known, path)
    match kind:
        case "text":
            return TextPart(text=the_string(part, "text", path), path=path, cache=_mark(part))
        case "image_url":
            return _image(part, path, unmapped)
        case "input_audio":
            return _audio(part, path, unmapped)
        case "file":
            return _file(part, path, unmapped)
        case _:
            return RefusalPart(text=the_string(part, "refusal", path), path=path)


def _mark(part: Object) -> str | None:
    match part:
        case {"cache_control": {"ttl": "5m" | "1h" as ttl}}:
            return str(ttl)
        case {"prompt_cache_breakpoint": {"ttl": "12h"}}:
            return "1h"  # the longest that others know
        case _:
            return "" if any(part.get(key) for key in _MARKS) else None


def _inner(part: Object, key: str, known: frozenset[str], path: str, unmapped: list[Unmapped]) -> dict[str, Any]:
    value = an_object(part, key, path)
    if value is None:
        raise MalformedRequest(f"{path}/{key}", "is missing")
    unmapped += unknown(value, known, f"{path}/{key}")
    return value


def _image(part: Object, path: str, unmapped: list[Unmapped]) -> MediaPart:
    at = f"{path}/image_url"
    image = _inner(part, "image_url", _IMAGE_KEYS, path, unmapped)
    url = the_string(image, "url", at)
    source = data_url(url) or Url(url=url)
    if isinstance(source, Url) and not url.lower().startswith(_URLS):
        raise MalformedRequest(f"{at}/url", "must be an http URL or a base64 data URL")
    detail = string(image, "detail", at)
    return MediaPart(kind=MediaKind.IMAGE, source=source, detail=detail, path=path, cache=_mark(part))


def _audio(part: Object, path: str, unmapped: list[Unmapped]) -> MediaPart:
    audio = _inner(part, "input_audio", _AUDIO_KEYS, path, unmapped)
    name = the_string(audio, "format", f"{path}/input_audio")
    data = the_string(audio, "data", f"{path}/input_audio")
    source = Inline(mime=AUDIO_FORMATS.get(name, f"audio/{name}"), data=data)
    return MediaPart(kind=MediaKind.AUDIO, source=source, path=path, cache=_mark(part))


def _file(part: Object, path: str, unmapped: list[Unmapped]) -> MediaPart:
    at = f"{path}/file"
    file = _inner(part, "file", _FILE_KEYS, path, unmapped)
    filename = string(file, "filename", at)
    data = string(file, "file_data", at)
    source: Inline | ProviderFile
    if data is None:
        source, kind = ProviderFile(reference=the_string(file, "file_id", at)), MediaKind.DOCUMENT
    else:
        inline = data_url(data)
        if inline is None:
            raise MalformedRequest(f"{at}/file_data", "must be a base64 data URL")
        source, kind = inline, kind_of(inline.mime)
    return MediaPart(kind=kind, source=source, filename=filename, path=path, cache=_mark(part))

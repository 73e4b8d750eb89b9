"""Parts of messages and of tool results in the responses dialect, read. Source: OpenAI API reference, "Responses"."""

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

_LONG_LIVED = "12h"
"""A cache mark's longest life: the longest that others know is an hour. Else it is the vendor's default."""
_URLS = ("http://", "https://", "gs://")
_MARK = "prompt_cache_breakpoint"
_KEYS = {
    "input_text": frozenset({"type", "text", _MARK}),
    "output_text": frozenset({"type", "text", "annotations", "logprobs"}),
    "input_image": frozenset({"type", "image_url", "file_id", "detail", _MARK}),
    "input_file": frozenset({"type", "file_data", "file_url", "file_id", "filename", "detail", _MARK}),
    "input_audio": frozenset({"type", "input_audio"}),
    "refusal": frozenset({"type", "refusal"}),
}


def read_content(item: Object, key: str, path: str, unmapped: list[Unmapped]) -> list[Part]:
    """Read a text, which is one part and none if it is empty, or an array of parts; raises `MalformedRequest`."""
    content = item.get(key)
    at = f"{path}/{key}"
    if content is None:
        raise MalformedRequest(at, "is missing")
    if type(content) is str:
        return [TextPart(text=content, path=at)] if content else []
    if type(content) is not list:
        raise MalformedRequest(at, "must be a string or an array of parts")
    parts = (_part(part, inner, unmapped) for part, inner in objects(content, at))
    return [part for part in parts if not (type(part) is TextPart and not part.text)]


def _part(part: dict[str, Any], path: str, unmapped: list[Unmapped]) -> Part:
    kind = part.get("type")
    if type(kind) is not str:
        raise MalformedRequest(f"{path}/type", "must be a string, such as input_text")
    known = _KEYS.get(kind)
    if known is None:
        return OpaquePart(kind=kind, raw=part, path=path)
    unmapped += unknown(part, known, path)
    match kind:
        case "input_text" | "output_text":
            if part.get("annotations"):
                lost = "what a text of the assistant cites is known to its vendor only"
                unmapped.append(
                    Unmapped(
                        path=f"{path}/annotations", code="citations_dropped", detail=lost, loss_class=LossClass.HINT
                    )
                )
            return TextPart(text=the_string(part, "text", path), path=path, cache=_mark(part, path))
        case "refusal":
            return RefusalPart(text=the_string(part, "refusal", path), path=path)
        case "input_image":
            return _image(part, path)
        case "input_audio":
            return _audio(part, path)
        case _:
            return _file(part, path)


def _image(part: dict[str, Any], path: str) -> MediaPart:
    url = string(part, "image_url", path)
    source: Inline | Url | ProviderFile
    if url is None:
        reference = string(part, "file_id", path)
        if reference is None:
            raise MalformedRequest(f"{path}/image_url", "is missing, and so is file_id")
        source = ProviderFile(reference=reference)
    else:
        source = data_url(url) or Url(url=url)
        if isinstance(source, Url) and not url.lower().startswith(_URLS):
            raise MalformedRequest(f"{path}/image_url", "must be an http URL or a base64 data URL")
    detail = string(part, "detail", path)
    return MediaPart(kind=MediaKind.IMAGE, source=source, detail=detail, path=path, cache=_mark(part, path))


def _audio(part: dict[str, Any], path: str) -> MediaPart:
    audio = an_object(part, "input_audio", path) or {}
    name = the_string(audio, "format", f"{path}/input_audio")
    data = the_string(audio, "data", f"{path}/input_audio")
    mime = AUDIO_FORMATS.get(name, f"audio/{name}")
    return MediaPart(kind=MediaKind.AUDIO, source=Inline(mime=mime, data=data), path=path)


def _file(part: dict[str, Any], path: str) -> MediaPart:
    source = _file_source(part, path)
    kind = kind_of(source.mime) if isinstance(source, Inline) else MediaKind.DOCUMENT
    name = string(part, "filename", path)
    detail = string(part, "detail", path)
    return MediaPart(kind=kind, source=source, filename=name, detail=detail, path=path, cache=_mark(part, path))


def _file_source(part: dict[str, Any], path: str) -> Inline | Url | ProviderFile:
    data = string(part, "file_data", path)
    if data is not None:
        inline = data_url(data)
        if inline is None:
            raise MalformedRequest(f"{path}/file_data", "must be a base64 data URL")
        return inline
    url = string(part, "file_url", path)
    if url is not None:
        if not url.lower().startswith(_URLS):
            raise MalformedRequest(f"{path}/file_url", "must be an http URL")
        return Url(url=url)
    reference = string(part, "file_id", path)
    if reference is None:
        raise MalformedRequest(path, "must have file_data, file_url or file_id")
    return ProviderFile(reference=reference)


def _mark(part: dict[str, Any], path: str) -> str | None:
    mark = an_object(part, _MARK, path)
    if mark is None:
        return None
    return "1h" if mark.get("ttl") == _LONG_LIVED else ""

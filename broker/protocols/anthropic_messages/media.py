"""Images and documents of the messages dialect, read and written."""

import binascii
from collections.abc import Iterator
from typing import Any, assert_never

from broker.domain.caps import Caps
from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import (
    Inline,
    MediaKind,
    MediaPart,
    PlainText,
    ProviderFile,
    TextPart,
    Url,
)
from broker.protocols.canonical.request import Unmapped
from broker.protocols.fields import an_object, flag, objects, string, the_string, unknown
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.media import IMAGES, PDF, PLAIN, mime_type

_IMAGE = frozenset({"type", "source", "cache_control", "transformations"})
_DOCUMENT = frozenset({"type", "source", "cache_control", "citations", "context", "title"})
_SEARCH_RESULT = frozenset({"type", "source", "title", "content", "cache_control", "citations"})


def read_image(block: dict[str, Any], path: str, cache: str | None, unmapped: list[Unmapped]) -> MediaPart:
    """Read an image; raises `MalformedRequest`."""
    unmapped += unknown(block, _IMAGE, path)
    if block.get("transformations"):
        what = "how Anthropic fits an image to its model"
        unmapped.append(_unmapped(f"{path}/transformations", "unsupported_field", what, LossClass.HINT))
    source = an_object(block, "source", path) or {}
    at = f"{path}/source"
    where: Inline | Url | ProviderFile
    match source.get("type"):
        case "base64":
            where = Inline(mime=mime_type(the_string(source, "media_type", at)), data=the_string(source, "data", at))
        case "url":
            where = Url(url=the_string(source, "url", at))
        case "file":
            where = ProviderFile(reference=the_string(source, "file_id", at))
        case _:
            raise MalformedRequest(f"{at}/type", "must be base64, url or file")
    return MediaPart(kind=MediaKind.IMAGE, source=where, path=path, cache=cache)


def read_document(
    block: dict[str, Any], path: str, cache: str | None, unmapped: list[Unmapped]
) -> tuple[TextPart | MediaPart, ...]:
    """Read a document: one part, or those of which it is made; raises `MalformedRequest`."""
    unmapped += unknown(block, _DOCUMENT, path)
    _note_citations(block, path, unmapped)
    source = an_object(block, "source", path) or {}
    at = f"{path}/source"
    where: Inline | PlainText | Url | ProviderFile
    match source.get("type"):
        case "base64":
            where = Inline(mime=mime_type(the_string(source, "media_type", at)), data=the_string(source, "data", at))
        case "text":
            where = PlainText(text=the_string(source, "data", at))
        case "url":
            where = Url(url=the_string(source, "url", at), mime=PDF)
        case "file":
            where = ProviderFile(reference=the_string(source, "file_id", at))
        case "content":
            chunks = tuple(_chunks(source, at, unmapped))
            if not all(isinstance(chunk, TextPart) for chunk in chunks):
                what = "a document made of texts and images becomes these, one by one"
                unmapped.append(_unmapped(path, "document_taken_apart", what, LossClass.SEMANTIC))
                return chunks
            where = PlainText(text="\n".join(chunk.text for chunk in chunks if isinstance(chunk, TextPart)))
        case _:
            raise MalformedRequest(f"{at}/type", "must be base64, text, content, url or file")
    document = MediaPart(
        kind=MediaKind.DOCUMENT,
        source=where,
        filename=string(block, "title", path),
        context=string(block, "context", path),
        path=path,
        cache=cache,
    )
    return (document,)


def read_search_result(block: dict[str, Any], path: str, cache: str | None, unmapped: list[Unmapped]) -> MediaPart:
    """Read what a search of the producer's own found, as a text document; raises `MalformedRequest`."""
    unmapped += unknown(block, _SEARCH_RESULT, path)
    _note_citations(block, path, unmapped)
    what = "what a search found becomes a text document, its source beside it"
    unmapped.append(_unmapped(path, "search_result", what, LossClass.SEMANTIC))
    texts = [part.text for part in _chunks(block, path, unmapped) if isinstance(part, TextPart)]
    return MediaPart(
        kind=MediaKind.DOCUMENT,
        source=PlainText(text="\n".join(texts)),
        filename=the_string(block, "title", path),
        context=the_string(block, "source", path),
        path=path,
        cache=cache,
    )


def _chunks(source: dict[str, Any], at: str, unmapped: list[Unmapped]) -> Iterator[TextPart | MediaPart]:
    content = source.get("content")
    at = f"{at}/content"
    if isinstance(content, str):
        yield TextPart(text=content, path=at)
        return
    if not isinstance(content, list):
        raise MalformedRequest(at, "must be a string or an array of blocks")
    for block, path in objects(content, at):
        match block.get("type"):
            case "text":
                yield TextPart(text=the_string(block, "text", path), path=path)
            case "image":
                yield read_image(block, path, None, unmapped)
            case _:
                raise MalformedRequest(f"{path}/type", "must be text or image")


def _note_citations(block: dict[str, Any], path: str, unmapped: list[Unmapped]) -> None:
    citations = an_object(block, "citations", path)
    if citations and flag(citations, "enabled", f"{path}/citations"):
        what = "an answer that cites its sources is Anthropic's own"
        unmapped.append(_unmapped(f"{path}/citations", "unsupported_field", what, LossClass.SAMPLING))


def write_media(part: MediaPart, caps: Caps, losses: Losses) -> dict[str, object] | None:
    """Write an image or a document as a block; `None` for what Anthropic does not take, which is noted."""
    match part.kind:
        case MediaKind.IMAGE if caps.images:
            source = _image_source(part, losses)
            return source and {"type": "image", "source": source}
        case MediaKind.DOCUMENT if caps.documents:
            source = _document_source(part, losses)
            return source and _document(part, source)
        case MediaKind.IMAGE | MediaKind.DOCUMENT | MediaKind.AUDIO | MediaKind.VIDEO:
            losses.content(part.path, "unsupported_media", f"the target takes no {part.kind}")
            return None
        case _:
            assert_never(part.kind)


def _document(part: MediaPart, source: dict[str, object]) -> dict[str, object]:
    block: dict[str, object] = {"type": "document", "source": source}
    if part.filename:
        block["title"] = part.filename
    if part.context:
        block["context"] = part.context
    return block


def _image_source(part: MediaPart, losses: Losses) -> dict[str, object] | None:
    if part.detail not in (None, "auto"):
        losses.hint(part.path, "unsupported_field", "how closely to look at an image")
    match part.source:
        case Inline(mime=mime, data=data) if mime in IMAGES:
            return {"type": "base64", "media_type": mime, "data": data}
        case Url(url=url) if url[:8].lower() == "https://":
            return {"type": "url", "url": url}
        case ProviderFile():
            _note_foreign_file(part, losses)
        case Inline(mime=mime):
            losses.content(part.path, "unsupported_media", f"Anthropic takes no image of type {mime}")
        case Url():
            losses.content(part.path, "unsupported_media", "Anthropic fetches images by https only")
        case PlainText():
            losses.content(part.path, "unsupported_media", "a text is no image")
        case _:
            assert_never(part.source)
    return None


def _document_source(part: MediaPart, losses: Losses) -> dict[str, object] | None:
    match part.source:
        case PlainText(text=text) if text and not text.isspace():
            return {"type": "text", "media_type": PLAIN, "data": text}
        case PlainText():
            losses.content(part.path, "blank_text", "Anthropic takes no document that is blank", droppable=True)
        case Inline(mime=mime, data=data) if mime == PDF:
            return {"type": "base64", "media_type": PDF, "data": data}
        case Inline(mime=mime, data=data) if mime.startswith("text/"):
            return _plain_text(part, mime, data, losses)
        case Url(url=url, mime=mime) if url[:8].lower() == "https://" and mime in (None, PDF):
            return {"type": "url", "url": url}
        case ProviderFile():
            _note_foreign_file(part, losses)
        case Inline(mime=mime):
            losses.content(part.path, "unsupported_media", f"Anthropic takes no document of type {mime}")
        case Url():
            losses.content(part.path, "unsupported_media", "Anthropic fetches PDF documents by https, and no others")
        case _:
            assert_never(part.source)
    return None


def _plain_text(part: MediaPart, mime: str, data: str, losses: Losses) -> dict[str, object] | None:
    """Write a text that came as base64: Anthropic takes texts as they are, and knows no kinds of them."""
    try:
        text = binascii.a2b_base64(data).decode()
    except ValueError:  # no base64, or no UTF-8
        losses.content(part.path, "unsupported_media", f"the document of type {mime} is no text in UTF-8")
        return None
    if mime != PLAIN:
        losses.converted(part.path, "document_as_text", f"a document of type {mime} becomes one of type {PLAIN}")
    return {"type": "text", "media_type": PLAIN, "data": text}


def _note_foreign_file(part: MediaPart, losses: Losses) -> None:
    losses.content(part.path, "foreign_file", "a file is known to the vendor that keeps it only")


def _unmapped(path: str, code: str, detail: str, loss_class: LossClass) -> Unmapped:
    return Unmapped(path=path, code=code, detail=detail, loss_class=loss_class)

"""Images, recordings, videos and documents: `inlineData` and `fileData`, read and written.

Source: Gemini API guides on image, audio, video and document understanding, and on file input methods.
"""

import binascii
from typing import assert_never

from broker.domain.caps import Caps
from broker.protocols.canonical.parts import Inline, MediaKind, MediaPart, PlainText, ProviderFile, Url
from broker.protocols.gemini_generate_content.proto_json import Message
from broker.protocols.losses import Losses
from broker.protocols.media import PDF, PLAIN, kind_of, mime_type

_TAKEN = frozenset(
    {
        *("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"),
        *("audio/wav", "audio/mpeg", "audio/aiff", "audio/aac", "audio/ogg", "audio/flac"),
        PDF,
    }
)
_FETCHED = ("https://", "gs://")
_VIDEO_HOSTS = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")
_KEPT_BY_GOOGLE = ("gs://", "files/", "https://generativelanguage.googleapis.com/")
_WEB = ("https://", "http://")
_BY_ENDING = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "pdf": PDF,
    "txt": PLAIN,
}
_RESOLUTIONS = {"LOW": "low", "MEDIUM": "auto", "HIGH": "high", "ULTRA_HIGH": "high"}


def read_inline(blob: Message, path: str, *, detail: str | None = None) -> MediaPart:
    """Read `inlineData`; a document of plain text becomes one."""
    mime = mime_type(blob.the_string("mimeType"))
    data = _standard(blob.the_string("data"))
    source: Inline | PlainText = Inline(mime=mime, data=data)
    if mime.startswith("text/"):
        source = _plain_text(data) or source
    return MediaPart(kind=kind_of(mime), source=source, filename=blob.string("displayName"), detail=detail, path=path)


def read_file(file: Message, path: str, *, detail: str | None = None) -> MediaPart:
    """Read `fileData`: a file that Google keeps, or one in the web."""
    uri = file.the_string("fileUri")
    mime = file.string("mimeType")
    mime = mime_type(mime) if mime else _BY_ENDING.get(_ending(uri))
    name = file.string("displayName")
    if uri.startswith(_VIDEO_HOSTS):
        return MediaPart(kind=MediaKind.VIDEO, source=Url(url=uri, mime=mime), filename=name, path=path)
    kind = kind_of(mime) if mime else MediaKind.DOCUMENT
    source: Url | ProviderFile
    if uri.startswith(_KEPT_BY_GOOGLE) or not uri.lower().startswith(_WEB):
        source = ProviderFile(reference=uri)
    else:
        source = Url(url=uri, mime=mime)
    return MediaPart(kind=kind, source=source, filename=name, detail=detail, path=path)


def read_detail(part: Message) -> str | None:
    """How closely to look at a part, in OpenAI's words."""
    resolution = part.message("mediaResolution")
    level = None if resolution is None else resolution.enum("level")
    return None if level is None else _RESOLUTIONS.get(level.removeprefix("MEDIA_RESOLUTION_"))


def _plain_text(data: str) -> PlainText | None:
    try:
        return PlainText(text=binascii.a2b_base64(data.encode("ascii")).decode())
    except (ValueError, binascii.Error):
        return None


def _standard(data: str) -> str:
    """Base64 in its standard alphabet, padded: the URL-safe one is as good here, and nowhere else."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4) if len(data) % 4 and "\n" not in data else data


def _ending(uri: str) -> str:
    return uri.partition("?")[0].rpartition(".")[2].lower()


def write_media(part: MediaPart, caps: Caps, losses: Losses) -> dict[str, object] | None:
    """Write a medium as a part; `None` for what the model does not take, which is noted."""
    if part.filename and not isinstance(part.source, PlainText):
        losses.hint(part.path, "filename_dropped", "names of files are not told to Gemini")
    if part.detail not in (None, "auto"):
        losses.hint(part.path, "detail_dropped", "how closely to look at an image is left to Gemini")
    match part.source:
        case ProviderFile():
            losses.content(part.path, "foreign_file", "a file is known to the vendor that keeps it only")
            return None
        case PlainText(text=text):
            what = f"a document of type {PLAIN} becomes a text, its title first"
            losses.converted(part.path, "document_as_text", what)
            return {"text": f"{part.filename}\n{text}" if part.filename else text}
        case Inline(mime=mime, data=data):
            if not _takes(part.kind, caps) or not _is_known(mime):
                losses.content(part.path, "unsupported_media", f"the target takes no {mime}")
                return None
            return {"inlineData": {"mimeType": mime, "data": data}}
        case Url(url=url, mime=mime):
            if not _takes(part.kind, caps) or not url.lower().startswith(_FETCHED):
                losses.content(part.path, "unsupported_media", f"the target takes no {part.kind} by this URL")
                return None
            mime = mime or _BY_ENDING.get(_ending(url))
            return {"fileData": {"mimeType": mime, "fileUri": url} if mime else {"fileUri": url}}
        case _:
            assert_never(part.source)


def _takes(kind: MediaKind, caps: Caps) -> bool:
    match kind:
        case MediaKind.IMAGE:
            return caps.images
        case MediaKind.DOCUMENT:
            return caps.documents
        case MediaKind.AUDIO | MediaKind.VIDEO:
            return caps.audio
        case _:
            assert_never(kind)


def _is_known(mime: str) -> bool:
    return mime in _TAKEN or mime.startswith(("text/", "video/"))

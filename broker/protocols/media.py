"""Images, recordings and documents as JSON carries them: data URLs and MIME types."""

import re
from base64 import b64decode

from broker.protocols.canonical.parts import Inline, MediaKind

PDF = "application/pdf"
PLAIN = "text/plain"
IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""Types that every vendor takes."""
AUDIO_FORMATS = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""OpenAI's words for recordings, and their MIME types."""

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.ASCII | re.IGNORECASE)
_SAME = {"image/jpg": "image/jpeg", "audio/x-wav": "audio/wav", "audio/mp3": "audio/mpeg"}


def data_url(url: str) -> Inline | None:
    """The bytes in a base64 data URL (RFC 2397); `None` for any other URL."""
    if url[:5].lower() != "data:":
        return None
    head = _DATA_URL.match(url)
    if head is None:
        return None
    return Inline(mime=mime_type(head[1] or PLAIN), data=url[head.end() :])


def as_data_url(inline: Inline) -> str:
    """The inverse of `data_url`."""
    return f"data:{inline.mime};base64,{inline.data}"


def mime_type(text: str) -> str:
    """A MIME type in lower case, without parameters, and in its registered spelling."""
    plain = text.partition(";")[0].strip().lower()
    return _SAME.get(plain, plain)


def kind_of(mime: str) -> MediaKind:
    """What a medium of this type is to a model."""
    match mime.partition("/")[0]:
        case "image":
            return MediaKind.IMAGE
        case "audio":
            return MediaKind.AUDIO
        case "video":
            return MediaKind.VIDEO
        case _:
            return MediaKind.DOCUMENT


def plain_text(inline: Inline) -> str | None:
    """The words of a text that travels as bytes; `None` where they are none."""
    try:
        return b64decode(inline.data, validate=True).decode()
    except ValueError:  # of base64, or of UTF-8
        return None

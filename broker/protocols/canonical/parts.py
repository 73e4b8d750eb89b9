"""What a turn of a conversation, or an answer, is made of.

`path` is the JSON pointer of the part in the body it was read from, empty in answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class MediaKind(StrEnum):
    """What a medium is to a model."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """Words."""

    text: str
    path: str = ""
    cache: str | None = None
    """A cache mark behind this part: its time to live (`5m`, `1h`), or empty for the vendor's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """Bytes that travel with the request."""

    mime: str
    """Lower case."""
    data: str
    """Base64, exactly as it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainText:
    """A text document that travels as text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """Bytes that the provider fetches."""

    url: str
    mime: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFile:
    """A file that one vendor keeps for one account: no other can read it."""

    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPart:
    """An image, a recording, a document."""

    kind: MediaKind
    source: Inline | PlainText | Url | ProviderFile
    filename: str | None = None
    """Also a document's title."""
    context: str | None = None
    """What the producer tells about a document beside it."""
    detail: str | None = None
    """How closely to look at an image: a hint."""
    path: str = ""
    cache: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalPart:
    """Words in which the model declined."""

    text: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningPart:
    """Thoughts: never shown as text, and of use to the vendor they came from only."""

    text: str = ""
    """Empty where the vendor keeps them to itself."""
    signature: str | None = None
    """The vendor's seal, or the thoughts themselves in a form that only it can read."""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPart:
    """The model asks for a tool."""

    id: str
    name: str
    arguments: Mapping[str, object] | None
    """`None`: what came does not read as a JSON object."""
    arguments_text: str
    """As it came, or as `exact_json` writes `arguments`."""
    custom: bool = False
    """A call with free text as its argument (`arguments_text`), of a tool with a grammar of its own."""
    signature: str | None = None
    """Gemini's thought signature, which must come back with the call."""
    path: str = ""
    cache: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPart:
    """What a tool answered."""

    call_id: str
    parts: tuple[TextPart | MediaPart, ...]
    name: str | None = None
    """The tool's, where the dialect says it."""
    is_error: bool = False
    value: Mapping[str, object] | None = None
    """The same as a JSON object, where it came as one; `parts` then hold its text."""
    path: str = ""
    cache: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaquePart:
    """A block that only its own dialect understands: a hosted tool's call or result, a type of the future."""

    kind: str
    raw: object
    path: str = ""


Part = TextPart | MediaPart | RefusalPart | ReasoningPart | CallPart | ResultPart | OpaquePart

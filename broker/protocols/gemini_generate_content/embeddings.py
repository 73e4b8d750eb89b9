"""Requests for vectors: `embedContent` and `batchEmbedContents`, read and written."""

from broker.domain.caps import Caps
from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import TextPart
from broker.protocols.canonical.request import EmbeddingRequest, Unmapped
from broker.protocols.codec import Written
from broker.protocols.gemini_generate_content.contents import read_parts
from broker.protocols.gemini_generate_content.paths import EMBED_BATCH, path_to, resource_of
from broker.protocols.gemini_generate_content.proto_json import Message
from broker.protocols.losses import Losses, MalformedRequest

_MOST_INPUTS = 100
"""In one batch; more are refused."""
_OWN = ("taskType", "title", "autoTruncate", "mimeType", "documentOcr", "audioTrackExtraction")
_REQUEST = frozenset({"model", "content", "outputDimensionality", "embedContentConfig", *_OWN})
_CONFIG = frozenset({"outputDimensionality", *_OWN})


def read_embedding(body: Message) -> EmbeddingRequest:
    """Read a body with one `content`, or with `requests`; raises `MalformedRequest`."""
    unmapped: list[Unmapped] = []
    if not body.has("requests"):
        text, dimensions, pointer = _one(body, unmapped)
        return _request([text], [body.at("content")], dimensions, pointer, unmapped)
    unmapped += body.unknown(frozenset({"requests", "model"}))
    texts, paths, pointer = [], [], ""
    sizes: dict[int | None, str] = {}
    for request in body.messages("requests"):
        text, dimensions, pointer = _one(request, unmapped)
        texts.append(text)
        paths.append(request.at("content"))
        sizes.setdefault(dimensions, pointer)
    if not texts:
        raise MalformedRequest(body.at("requests"), "must be an array that is not empty")
    if len(sizes) > 1:
        what = "vectors of different sizes cannot be asked for at once"
        path = list(sizes.values())[1]
        unmapped.append(Unmapped(path=path, code="mixed_dimensions", detail=what, loss_class=LossClass.CONTENT))
    return _request(texts, paths, next(iter(sizes)), pointer, unmapped)


def _request(
    texts: list[str], paths: list[str], dimensions: int | None, pointer: str, unmapped: list[Unmapped]
) -> EmbeddingRequest:
    return EmbeddingRequest(
        inputs=tuple(texts),
        input_paths=tuple(paths),
        dimensions=dimensions,
        unmapped=tuple(unmapped),
        pointers={"dimensions": pointer, "inputs": paths[0]},
    )


def _one(request: Message, unmapped: list[Unmapped]) -> tuple[str, int | None, str]:
    """Read what one vector is asked for: the text, how many dimensions, and where that is said."""
    unmapped += request.unknown(_REQUEST)
    _note_own(request, unmapped)
    holder = request
    config = request.message("embedContentConfig")
    if config is not None:
        unmapped += config.unknown(_CONFIG)
        _note_own(config, unmapped)
        holder = config if config.has("outputDimensionality") else request
    content = request.message("content")
    if content is None:
        raise MalformedRequest(request.at("content"), "is missing")
    return _text(content, unmapped), holder.whole("outputDimensionality"), holder.at("outputDimensionality")


def _note_own(request: Message, unmapped: list[Unmapped]) -> None:
    for name in _OWN:
        unmapped += request.unsupported(name, f"{name} is Gemini's own", LossClass.SAMPLING)


def _text(content: Message, unmapped: list[Unmapped]) -> str:
    """The text of a content: its parts together are one vector."""
    texts = []
    for part in read_parts(content, unmapped):
        if isinstance(part, TextPart):
            texts.append(part.text)
        else:
            what = "only vectors of plain text can be translated"
            unmapped.append(
                Unmapped(path=part.path, code="unsupported_media", detail=what, loss_class=LossClass.CONTENT)
            )
    if not texts and not unmapped:
        raise MalformedRequest(content.at("parts"), "must hold a text")
    if len(texts) > 1:
        what = "the parts of a content are one vector, so they become one text"
        unmapped.append(
            Unmapped(path=content.at("parts"), code="parts_joined", detail=what, loss_class=LossClass.SEMANTIC)
        )
    return "\n".join(texts)


def write_embedding(request: EmbeddingRequest, *, model: str, caps: Caps, losses: Losses) -> Written:  # noqa: ARG001  # the contract of all codecs
    """Write a batch with one request per input; what cannot be said is noted."""
    if request.user_id is not None:
        losses.hint(request.pointer("user_id"), "unsupported_field", "Gemini is not told who asks")
    if len(request.inputs) > _MOST_INPUTS:
        what = f"the target takes {_MOST_INPUTS} inputs at once, and these are {len(request.inputs)}"
        losses.content(request.input_paths[_MOST_INPUTS], "too_many_inputs", what)
    name = resource_of(model)
    shape = {} if request.dimensions is None else {"outputDimensionality": request.dimensions}
    requests = [{"model": name, "content": {"parts": [{"text": text}]}, **shape} for text in request.inputs]
    return Written(body={"requests": requests}, path=path_to(model, EMBED_BATCH))

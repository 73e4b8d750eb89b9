"""Requests from one dialect into another, and answers back: the public functions of this package."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.domain.loss import Loss, LossClass, OnLoss
from broker.protocols import splice
from broker.protocols.canonical.answer import Answer, Output
from broker.protocols.canonical.parts import CallPart
from broker.protocols.canonical.request import CanonicalRequest, EmbeddingRequest, Format, Request
from broker.protocols.choices import MOST_CHOICES, with_choices
from broker.protocols.codec import Codec, Embedded, Json, Written
from broker.protocols.conversation import prepared
from broker.protocols.exact_json import answered
from broker.protocols.losses import Losses, MalformedRequest, UntranslatableRequest
from broker.protocols.registry import codec_of
from broker.redaction import excerpt


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A request as its target takes it, and what is needed to read the answer."""

    target: Dialect
    body: dict[str, object]
    path: str
    """Below the account's base URL."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of this request, beside those of the account."""
    fan_out: int = 1
    """How many calls it takes, each with this body; the answer's outputs are theirs, in order."""
    warnings: tuple[Loss, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """What tools are called at the target, to what the producer calls them, where that differs."""
    items: int | None = None
    """Choices or vectors that one call must bring, if known."""
    format: Format | None = None
    """The form that the answer must have, where one was asked for."""


def translate_request(
    body: Json,
    *,
    source: Dialect | str,
    target: Dialect | str,
    model: str,
    on_loss: OnLoss | str = OnLoss.FAIL,
    caps: Caps | None = None,
) -> Translation:
    """Say in the target's words what a body says in its source's; `body` is not changed.

    `model` is the name at the target. `caps` are the facts of that model; without them the newest conservative set is
    assumed. Raises `UntranslatableRequest`, which names the JSON pointer and the target, and `ValueError` for a name
    that is no dialect.
    """
    source, target = Dialect(source), Dialect(target)
    writer = codec_of(target)
    if source is target:
        return _same(body, writer, model, caps)
    losses = Losses(target, OnLoss(on_loss))
    try:
        request = codec_of(source).read_request(body)
    except MalformedRequest as fault:
        raise UntranslatableRequest(target, [_malformed(fault)]) from fault
    caps = writer.caps if caps is None else caps
    for lost in request.unmapped:
        losses.unmapped(lost)
    match request:
        case Request() if writer.write_request is not None:
            ready = prepared(request, caps=caps, losses=losses, tool_names=writer.tool_names, call_ids=writer.call_ids)
            written = writer.write_request(ready.request, model=model, caps=caps, losses=losses)
            return _translation(written, losses, request, names=ready.names)
        case EmbeddingRequest() if writer.write_embedding is not None:
            written = writer.write_embedding(request, model=model, caps=caps, losses=losses)
            return _translation(written, losses, request, names={})
        case Request() | EmbeddingRequest():
            wanted = "text" if isinstance(request, Request) else "vectors"
            what = f"the request asks for {wanted}, which the target does not give"
            loss = Loss(code="wrong_kind", path="", detail=what, loss_class=LossClass.CONTENT)
            raise UntranslatableRequest(target, [loss])
        case _:
            assert_never(request)


def translate_raw(raw: bytes, *, source: Dialect | str, target: Dialect | str, model: str) -> bytes:
    """The same body for another model of the same dialect: byte for byte, but for the value of the top-level `model`.

    Raises `ValueError` when the dialects differ, or when the body is no JSON object with a model. A Gemini body needs
    none, its model stands in the URL; each request of a batch of embeddings may name it once more.
    """
    source, target = Dialect(source), Dialect(target)
    if source is not target:
        raise ValueError(f"only a translation between equals keeps its bytes, and {source} is not {target}")
    if target is not Dialect.GEMINI_GENERATE_CONTENT:
        return splice.with_model(raw, model)
    named = _resource(model)
    return splice.with_models_of_elements(splice.with_model_where_named(raw, named), "requests", named)


def parse_response(
    protocol: Dialect | str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    request: Translation | Json | None = None,
    details_default_zero: bool = False,
    now: float = 0.0,
) -> Answer | CallError:
    """Say what a provider's response means; never raises but for a `protocol` that is no dialect.

    `request` is what was sent: a `Translation`, whose tool names are mapped back, or the body itself; it tells how much
    was asked for. Header names are lower case. `details_default_zero`: the provider documents that an absent detail of
    the usage is zero. `now` is in seconds since the epoch, for hints that are dates.
    """
    codec = codec_of(protocol)
    if isinstance(request, Translation):
        items, names = request.items, request.names
    else:
        items, names = None if request is None else codec.items_asked_for(request), {}
    return understood(
        codec,
        status,
        headers,
        body,
        items=items,
        names=names,
        details_default_zero=details_default_zero,
        now=now,
    )


def understood(
    codec: Codec,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    items: int | None,
    names: Mapping[str, str],
    details_default_zero: bool,
    now: float,
) -> Answer | CallError:
    """Say what a response means; `names` are those of tools at the provider, to what their producer calls them."""
    if not 200 <= status < 300:
        return codec.error_of(status, headers, body, now=now)
    try:
        value = answered(body)
    except ValueError:
        return _no_answer(status, "no JSON" if body.strip() else "an empty body", body)
    if not isinstance(value, dict):
        return _no_answer(status, "JSON, but no object", body)
    fault = codec.fault_of(value, items)
    usage = codec.read_usage(value, details_default_zero=details_default_zero)
    if fault is None:
        answer = codec.read_answer(value, usage)
        return _with_names(answer, names) if names else answer
    if isinstance(fault, Embedded):
        return replace(codec.embedded_error(status, headers, fault.error, now=now), usage=usage)
    return replace(_no_answer(status, fault, body), usage=usage)


def render_response(
    answer: Answer | CallError, *, dialect: Dialect | str, request: Json | None = None
) -> dict[str, object]:
    """What the producer would have got from its own API; `request` is the body that the producer wrote.

    It tells what an answer echoes and how vectors are to be encoded. Of an error this is the body.
    """
    codec = codec_of(dialect)
    if isinstance(answer, CallError):
        return codec.write_error(answer)[1]
    return codec.write_answer(answer, request)


def takes_several_calls(dialect: Dialect, items: int | None, caps: Caps) -> bool:
    """Whether a request for `items` answers must be sent that often, though the target speaks its own dialect.

    Only where something is known of the model: of chat servers, all are assumed to give as many as they are asked for.
    More than OpenAI itself gives are left to the server to refuse.
    """
    return dialect is Dialect.OPENAI_CHAT and items is not None and 1 < items <= MOST_CHOICES and not caps.choices


def _same(body: Json, codec: Codec, model: str, caps: Caps | None) -> Translation:
    items = codec.items_asked_for(body)
    fan_out = 1
    warnings: tuple[Loss, ...] = ()
    if items is not None and caps is not None and takes_several_calls(codec.dialect, items, caps):
        body = with_choices(body, codec.dialect, 1)
        what = f"{items} answers are asked for one at a time"
        warnings = (Loss(code="fan_out", path="/n", detail=what, loss_class=LossClass.SEMANTIC),)
        fan_out, items = items, 1
    return Translation(
        target=codec.dialect,
        body=_with_model(body, codec.dialect, model),
        path=codec.path(model, body),
        headers=codec.headers,
        fan_out=fan_out,
        warnings=warnings,
        items=items,
    )


def _with_model(body: Json, dialect: Dialect, model: str) -> dict[str, object]:
    """The body for another model; Gemini's stands in the URL, and where a body names it, too, it must be the same."""
    if dialect is not Dialect.GEMINI_GENERATE_CONTENT:
        return {**body, "model": model}
    named = {"model": _resource(model)}
    changed = {**body, **named} if "model" in body else dict(body)
    requests = body.get("requests")
    if isinstance(requests, list):
        changed["requests"] = [
            {**each, **named} if isinstance(each, dict) and "model" in each else each for each in requests
        ]
    return changed


def _resource(model: str) -> str:
    """How Gemini names a model inside a body."""
    return model if "/" in model else f"models/{model}"


def _translation(
    written: Written, losses: Losses, request: CanonicalRequest, *, names: Mapping[str, str]
) -> Translation:
    """Put together what was written; raises `UntranslatableRequest` for what may not be lost."""
    warnings = losses.settle()
    wanted = len(request.inputs) if isinstance(request, EmbeddingRequest) else request.n
    return Translation(
        target=losses.target,
        body=written.body,
        path=written.path,
        headers=written.headers,
        fan_out=written.fan_out,
        warnings=warnings,
        names=names,
        items=1 if written.fan_out > 1 else wanted,
        format=None if isinstance(request, EmbeddingRequest) else request.format,
    )


def _malformed(fault: MalformedRequest) -> Loss:
    return Loss(code=fault.code, path=fault.pointer, detail=fault.why, loss_class=LossClass.CONTENT)


def _no_answer(status: int, fault: str, body: bytes) -> CallError:
    return CallError(
        error_class=ErrorClass.MALFORMED_ANSWER,
        scope=Scope.SAME,
        message=excerpt(f"{fault}: {body[:600].decode(errors='replace')}", 300),
        status=status,
    )


def _with_names(answer: Answer, names: Mapping[str, str]) -> Answer:
    """Call the tools by the names that the producer gave them."""

    def renamed(output: Output) -> Output:
        parts = tuple(
            replace(part, name=names[part.name]) if isinstance(part, CallPart) and part.name in names else part
            for part in output.parts
        )
        return replace(output, parts=parts)

    return replace(answer, outputs=tuple(map(renamed, answer.outputs)))

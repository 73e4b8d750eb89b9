"""Says jobs in the words of one account's provider, and its answers in those of their producers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from broker.domain.account import Account
from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.caps import Caps
from broker.domain.dialect import Dialect, spoken
from broker.domain.job import Job
from broker.domain.loss import Loss, LossClass
from broker.protocols.canonical.answer import Answer
from broker.protocols.canonical.request import Format, Request
from broker.protocols.choices import joined, with_choices
from broker.protocols.codec import Codec, Json
from broker.protocols.exact_json import exact, written
from broker.protocols.losses import MalformedRequest, UntranslatableRequest
from broker.protocols.registry import codec_of
from broker.protocols.translation import (
    Translation,
    render_response,
    takes_several_calls,
    translate_raw,
    translate_request,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A job in its provider's words."""

    codec: Codec
    """The provider's."""
    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    items: int | None = None
    """Choices or vectors that one call must bring, if known."""
    translation: Translation | None = None
    """`None`: the provider speaks the producer's dialect, and both bodies pass through as they are."""

    @property
    def fan_out(self) -> int:
        """How many calls it takes, this one included."""
        return 1 if self.translation is None else self.translation.fan_out

    @property
    def warnings(self) -> tuple[Loss, ...]:
        """What was lost on the way."""
        return () if self.translation is None else self.translation.warnings

    @property
    def names(self) -> Mapping[str, str]:
        """Tools that are called otherwise at the provider, to what their producer calls them."""
        return {} if self.translation is None else self.translation.names


class Interpreter:
    """Speaks for one account."""

    def __init__(self, account: Account, *, caps: Callable[[str, Dialect], Caps]) -> None:
        """`caps` gives what is known of a model, by its logical name."""
        self._account = account
        self._caps = caps

    def said(self, job: Job, request: Json, *, logical: str, model: str) -> Said:
        """Say a job; `request` is its parsed body. Raises `UntranslatableRequest`."""
        source, target = job.endpoint.dialect, self._target(job)
        if source is not target:
            return self._translated(job, target, cast("Json", exact(job.body)), logical=logical, model=model)
        codec = codec_of(target)
        items = codec.items_asked_for(request)
        if takes_several_calls(target, items, self._caps(logical, target)):
            return self._translated(job, target, cast("Json", exact(job.body)), logical=logical, model=model)
        unchanged = model == logical == job.route
        return Said(
            codec=codec,
            url=self._account.url(target, codec.path(model, request), model),
            body=job.body if unchanged else translate_raw(job.body, source=source, target=target, model=model),
            headers=codec.headers,
            items=items,
        )

    def said_for_the_rest(self, job: Job, there: int, *, logical: str, model: str) -> Said:
        """Say a job of which so many answers are there already, for the others. Raises `UntranslatableRequest`."""
        dialect, request = job.endpoint.dialect, cast("Json", exact(job.body))
        wanted = codec_of(dialect).items_asked_for(request) or 1
        rest = with_choices(request, dialect, max(1, wanted - there))
        return self._translated(job, self._target(job), rest, logical=logical, model=model)

    def _target(self, job: Job) -> Dialect:
        generates = job.endpoint.generates
        target = spoken(job.endpoint.dialect, generates=generates, protocols=self._account.protocols)
        if target is None:
            raise UntranslatableRequest(self._account.provider, [_no_such_kind("text" if generates else "vectors")])
        return target

    def _translated(self, job: Job, target: Dialect, body: Json, *, logical: str, model: str) -> Said:
        translation = translate_request(
            body,
            source=job.endpoint.dialect,
            target=target,
            model=model,
            on_loss=job.on_loss,
            caps=self._caps(logical, target),
        )
        return Said(
            codec=codec_of(target),
            url=self._account.url(target, translation.path, model),
            body=written(translation.body),
            headers=translation.headers,
            items=translation.items,
            translation=translation,
        )


def heard(job: Job, answer: Answer | CallError, earlier: Sequence[Json] = ()) -> bytes:
    """Say an answer, or an error, as the producer's own API would have: the body.

    `earlier` are what this function made of earlier answers to the same job: they come first.
    """
    dialect = job.endpoint.dialect
    request = exact(job.body)
    if earlier and isinstance(answer, Answer):
        codec = codec_of(dialect)
        answer = joined([*(_read_back(codec, said) for said in earlier), answer])
    return written(render_response(answer, dialect=dialect, request=request if isinstance(request, dict) else None))


def _read_back(codec: Codec, said: Json) -> Answer:
    """An answer that `heard` has said: it was judged when it came, also if it is as empty as Gemini's may not be."""
    return codec.read_answer(said, codec.read_usage(said, details_default_zero=False))


def wanted_format(job: Job, said: Said) -> Format | None:
    """The form that an answer must have, if its producer asked for one."""
    if said.translation is not None:
        return said.translation.format
    if b"json" not in job.body:
        return None
    try:
        request = codec_of(job.endpoint.dialect).read_request(cast("Json", exact(job.body)))
    except (MalformedRequest, ValueError):
        return None  # whoever answers it knows better than we do
    return request.format if isinstance(request, Request) else None


def refusal(refused: UntranslatableRequest) -> CallError:
    """Why a job cannot be said to this account: another may speak its language."""
    return CallError(error_class=ErrorClass.UNTRANSLATABLE, scope=Scope.OTHER, message=str(refused))


def not_said(provider: str, problem: Exception) -> CallError:
    """Why a job cannot be said to this account: a defect of ours, which another language may not have."""
    message = f"the request cannot be translated for {provider}: {type(problem).__name__}"
    return CallError(error_class=ErrorClass.UNTRANSLATABLE, scope=Scope.OTHER, message=message)


def _no_such_kind(kind: str) -> Loss:
    detail = f"the request asks for {kind}, which no protocol of this account gives"
    return Loss(code="wrong_kind", path="", detail=detail, loss_class=LossClass.CONTENT)

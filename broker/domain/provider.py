"""What a worker must know of a provider beyond where it is and how to log in; the same for all its accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.dialect import Dialect


class HeaderDialect(StrEnum):
    """Whose way a provider has of telling limits in response headers; read by `broker.limits.observations`."""

    NONE = "none"
    """It sends none that can be relied on."""
    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"
    GROQ = "groq"
    MISTRAL = "mistral"
    TOGETHER = "together"
    FIREWORKS = "fireworks"
    OPENROUTER = "openrouter"


class Check(StrEnum):
    """What is looked at before a success of a provider is believed."""

    TRUNCATION = "truncation"
    """The prompt that it counted is about as long as the one we sent: some servers cut it without a word."""
    SCHEMA = "schema"
    """The answer has the form that was asked for."""
    TOOL_ARGUMENTS = "tool_arguments"
    """The arguments of each call are a JSON object."""
    USAGE = "usage"
    """Its tokens are more than 0: else they count as not reported, and are estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirk:
    """An error that means something else at this provider than its protocol says. What is given must all fit."""

    error_class: ErrorClass
    scope: Scope
    status: int | None = None
    code: str | None = None
    """The provider's own code, whole, in any case."""
    message: str | None = None
    """A part of the message, in any case."""

    def fits(self, error: CallError) -> bool:
        """Whether this is the error that is meant."""
        return (
            (self.status is None or self.status == error.status)
            and (self.code is None or self.code.lower() == (error.code or "").lower())
            and (self.message is None or self.message.lower() in error.message.lower())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePage:
    """A page on which a server says what it is, and where on it: each place is a JSON pointer, into `items` if given.

    A step into a text goes to the line that begins with that word. What is not there is not said.
    """

    path: str
    """Below the server's root: the base URL without a `/v1` at its end."""
    ask_field: str | None = None
    """Asked by POST, once for each model of the account, whose name goes into this field; else by GET."""
    items: str | None = None
    """A list, of which each element is about one model."""
    model: str | None = None
    """The model's name."""
    version: str | None = None
    slots: str | None = None
    """Calls that it works on at the same time."""
    context_window: str | None = None
    """Tokens of prompt and answer together; a page that stands later knows better."""
    lists_all: bool = False
    """No other models are served than those of its items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFacts:
    """Facts of a provider; the defaults are those of a server of which nothing is known."""

    header_dialect: HeaderDialect = HeaderDialect.NONE
    usage_details_default_zero: bool = False
    """A detail missing from `usage` means 0, not unknown."""
    free: bool = False
    """A call costs nothing."""
    self_hosted: bool = False
    """Run by its users: it can be asked what it serves, and believed less."""
    probe: tuple[ProbePage, ...] = ()
    """What it is asked when a worker starts."""
    any_model: bool = False
    """The model's name in a request is not looked at: what is loaded answers."""
    checks: frozenset[Check] = frozenset()
    paths: Mapping[Dialect, str] = field(default_factory=dict)
    """Where calls go instead of where the protocol says: below the base URL, with `{model}` and `{method}`."""
    caps: Mapping[str, object] = field(default_factory=dict)
    """What it takes of every model, by the fields of `Caps`."""
    quirks: tuple[Quirk, ...] = ()


def reconsidered(error: CallError, quirks: Sequence[Quirk]) -> CallError:
    """The error as this provider means it: by the first quirk that fits, else as its protocol says."""
    for quirk in quirks:
        if quirk.fits(error):
            return replace(error, error_class=quirk.error_class, scope=quirk.scope)
    return error

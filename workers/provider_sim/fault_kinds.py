"""The ways a simulated call can go wrong, and what each means for who pays."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Family(StrEnum):
    """Faults that look alike to the caller."""

    REFUSED = "refused"
    """Surely nothing was done."""
    SERVER = "server"
    """A 5xx status: nothing was generated."""
    UNKNOWN = "unknown"
    """The caller cannot know whether it was generated."""
    MALFORMED = "malformed"
    """Status 200 with something that is no answer."""
    SLOW = "slow"
    """A good answer, too slowly."""


class FaultKind(StrEnum):
    """One fault."""

    RATE_LIMITED = "rate_limited"
    """429 with a hint."""
    RATE_LIMITED_NO_HINT = "rate_limited_no_hint"
    QUOTA_EXHAUSTED = "quota_exhausted"
    """429 `insufficient_quota`."""
    SERVER_ERROR = "server_error"
    """500."""
    BAD_GATEWAY = "bad_gateway"
    """502 with an HTML page, as a proxy sends it."""
    UNAVAILABLE = "unavailable"
    """503 with plain text, as a proxy sends it."""
    OVERLOADED = "overloaded"
    """503 `server_is_overloaded`."""
    SITE_OVERLOADED = "site_overloaded"
    """529."""
    RESET_BEFORE = "reset_before"
    """TCP reset before anything was generated: not paid."""
    RESET_AFTER = "reset_after"
    """TCP reset after everything was generated: paid."""
    HANG = "hang"
    """No byte until the client goes."""
    CUT_BODY = "cut_body"
    """Half of the promised bytes, then the connection closes: paid."""
    HTML_PAGE = "html_page"
    ERROR_OBJECT = "error_object"
    EMPTY_BODY = "empty_body"
    WRONG_SHAPE = "wrong_shape"
    SLOW_DRIP = "slow_drip"
    """The right answer, byte by byte: paid."""


FAMILY: Mapping[FaultKind, Family] = MappingProxyType(
    {
        FaultKind.RATE_LIMITED: Family.REFUSED,
        FaultKind.RATE_LIMITED_NO_HINT: Family.REFUSED,
        FaultKind.QUOTA_EXHAUSTED: Family.REFUSED,
        FaultKind.SERVER_ERROR: Family.SERVER,
        FaultKind.BAD_GATEWAY: Family.SERVER,
        FaultKind.UNAVAILABLE: Family.SERVER,
        FaultKind.OVERLOADED: Family.SERVER,
        FaultKind.SITE_OVERLOADED: Family.SERVER,
        FaultKind.RESET_BEFORE: Family.UNKNOWN,
        FaultKind.RESET_AFTER: Family.UNKNOWN,
        FaultKind.HANG: Family.UNKNOWN,
        FaultKind.CUT_BODY: Family.UNKNOWN,
        FaultKind.HTML_PAGE: Family.MALFORMED,
        FaultKind.ERROR_OBJECT: Family.MALFORMED,
        FaultKind.EMPTY_BODY: Family.MALFORMED,
        FaultKind.WRONG_SHAPE: Family.MALFORMED,
        FaultKind.SLOW_DRIP: Family.SLOW,
    },
)
NAMES = tuple(sorted(FaultKind))
ALWAYS_PAID = frozenset({FaultKind.RESET_AFTER, FaultKind.CUT_BODY, FaultKind.SLOW_DRIP})
MAY_BE_PAID = frozenset({FaultKind.HANG}) | {kind for kind in FaultKind if FAMILY[kind] is Family.MALFORMED}
"""The caller cannot tell these apart from paid ones, so the operator chooses."""

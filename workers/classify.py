"""Decides once what an ending means. Pure.

refused   the provider surely did nothing: not connected, 429, 401, other 4xx
failed    it answered with an error (5xx, 408, 409), a redirect, or something that is no answer
unknown   bytes were sent and no full answer came back
ok        a complete, well-formed answer
"""

import re
from dataclasses import dataclass
from typing import assert_never

from broker.domain.attempt import AttemptState, CallError, ErrorClass, Scope
from broker.protocols.canonical.answer import Answer
from broker.protocols.codec import Codec
from broker.protocols.translation import understood
from broker.redaction import excerpt
from workers.endings import CutOff, Ending, NotConnected, Responded
from workers.interpreter import Said

_PLAIN_ID = re.compile(r"(?:req_|chatcmpl-)?[0-9a-fA-F-]{8,64}")
"""What most providers' ids of a call look like: nothing in it can be a key."""
_FAILED_THOUGH_4XX = frozenset({408, 409})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one ending means; exactly one of `error` and `answer` is set, `answer` only when `ok`."""

    state: AttemptState
    error: CallError | None = None
    answer: Answer | None = None
    request_id: str | None = None
    """The provider's own id of the call, if it gave one."""


def classify(ending: Ending, said: Said, *, details_default_zero: bool = False, now: float) -> Verdict:
    """Say what the ending of a call means that `said` a job.

    `details_default_zero`: the provider documents that an absent usage detail means zero. `now`: epoch seconds.
    """
    match ending:
        case Responded():
            return _of_response(ending, said, now, details_default_zero=details_default_zero)
        case NotConnected(reason=reason):
            return Verdict(state=AttemptState.REFUSED, error=_error(ErrorClass.CONNECTION, reason))
        case CutOff():
            return _of_cut(ending, said.codec, now)
        case _:
            assert_never(ending)


def _of_response(response: Responded, said: Said, now: float, *, details_default_zero: bool) -> Verdict:
    status, headers = response.status, response.headers
    request_id = next((headers[name] for name in said.codec.request_id_headers if name in headers), None)
    if request_id is not None and not _PLAIN_ID.fullmatch(request_id):
        request_id = excerpt(request_id, 200)
    means = understood(
        said.codec,
        status,
        headers,
        response.body,
        items=said.items,
        names=said.names,
        details_default_zero=details_default_zero,
        now=now,
    )
    if not isinstance(means, CallError):
        return Verdict(state=AttemptState.OK, answer=means, request_id=request_id)
    state = AttemptState.FAILED if 200 <= status < 300 else _state(status)
    return Verdict(state=state, error=means, request_id=request_id)


def _of_cut(cut: CutOff, codec: Codec, now: float) -> Verdict:
    if cut.status is not None and not 200 <= cut.status < 300:
        # The status line is the answer: what was cut is only its explanation.
        error = codec.error_of(cut.status, {}, b"", now=now)
        return Verdict(state=_state(cut.status), error=error)
    if cut.too_large:
        return Verdict(
            state=AttemptState.FAILED, error=_error(ErrorClass.MALFORMED_ANSWER, cut.reason, status=cut.status)
        )
    return Verdict(state=AttemptState.UNKNOWN, error=_error(ErrorClass.OUTCOME_UNKNOWN, cut.reason, status=cut.status))


def _error(error_class: ErrorClass, reason: str, *, status: int | None = None) -> CallError:
    return CallError(error_class=error_class, scope=Scope.SAME, message=excerpt(reason, 500), status=status)


def _state(status: int) -> AttemptState:
    refused = 400 <= status < 500 and status not in _FAILED_THOUGH_4XX
    return AttemptState.REFUSED if refused else AttemptState.FAILED

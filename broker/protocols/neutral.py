"""Settings that say what happens anyway: to leave them out changes nothing."""

from collections.abc import Mapping

from broker.protocols.canonical.request import Request
from broker.protocols.losses import Losses

_NEUTRAL: Mapping[str, object] = {
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
    "top_logprobs": 0,
    "logit_bias": {},
    "temperature": 1,
    "top_p": 1,
}
"""Many clients send these with every request."""


def leave_out(request: Request, name: str, what: str, losses: Losses) -> None:
    """Note a field of `Sampling` that is not sent: of no matter where it says what happens anyway."""
    if name in _NEUTRAL and getattr(request.sampling, name) == _NEUTRAL[name]:
        losses.hint(request.pointer(name), "unsupported_field", what)
    else:
        losses.sampling(request.pointer(name), "unsupported_field", what)

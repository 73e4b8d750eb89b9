"""Why an account is not starting more calls, in words."""

from broker.cli.figures import duration
from broker.progress import AccountProgress

_LIMITS = {
    "requests": "its limit of requests",
    "tokens": "its limit of tokens",
    "input_tokens": "its limit of input tokens",
    "output_tokens": "its limit of output tokens",
    "requests_per_day": "its limit of requests per day",
    "tokens_per_day": "its limit of tokens per day",
}
_PAUSES = {
    "rate_limited": "the provider says it is going too fast",
    "ramp": "the provider wants it to speed up more slowly",
    "overloaded": "the provider is overloaded",
}
_BLOCKED = {"revoked": "its key is refused", "exhausted": "its quota is used up", "paused": "paused"}
_AWAY = {"unreachable": "it cannot be reached", "failing": "it answers with errors only"}
_NEARLY_ALL = 0.97


def state_in_words(account: AccountProgress) -> str:
    """What the account is doing or waiting for."""
    if account.state in _AWAY:
        return f"{_AWAY[account.state]} ({account.reason}), looked for again in {duration(account.resumes_in_s)}"
    if account.state in _BLOCKED:
        again = f"; tried again in {duration(account.resumes_in_s)}" if account.resumes_in_s else ""
        reason = account.reason or "no reason given"
        return f"{_BLOCKED[account.state]}: {_PAUSES.get(reason, reason)}{again}"
    waits_for = account.waits_for or ""
    match waits_for:
        case _ if waits_for.startswith("database"):
            return "waits for the database, which does not answer"
        case _ if account.in_flight >= account.slots or waits_for == "slots":
            return "all its slots are in use"
        case _ if limit := _limit(account, waits_for):
            return f"at {limit}"
        case _:
            return "working" if account.in_flight else "has nothing to do"


def wait_in_words(waits_for: str) -> str:
    """What a worker process says that its next call waits for."""
    kind, _, detail = waits_for.partition(": ")
    match kind:
        case "database":
            return "waits for the database, which does not answer"
        case "paused":
            return f"paused: {_PAUSES.get(detail, detail or 'no reason given')}"
        case "slots":
            return "all its slots are in use"
        case _ if waits_for in _LIMITS:
            return f"at {_LIMITS[waits_for]}"
        case _:
            return f"waits for {waits_for}"


def _limit(account: AccountProgress, waits_for: str) -> str | None:
    if waits_for in _LIMITS:
        return _LIMITS[waits_for]
    fullest = max(account.limits, key=lambda use: use.share, default=None)
    if fullest is None or fullest.share < _NEARLY_ALL or not account.in_flight:
        return None
    return _LIMITS.get(fullest.resource)

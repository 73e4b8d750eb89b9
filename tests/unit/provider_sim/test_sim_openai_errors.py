import orjson
import pytest

from workers.provider_sim.config import KeyConfig
from workers.provider_sim.gate import Denial, Level, Limit
from workers.provider_sim.openai.errors import denied
from workers.provider_sim.openai.headers import go_duration, of_limits

DENIAL = Denial(limit=Limit.TOKENS, allowed=1000, used=950, requested=100, wait_s=3.0001)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "0s"),
        (0.012, "12ms"),
        (1, "1s"),
        (1.2, "1.2s"),
        (59.9999, "1m0s"),
        (179.56, "2m59.56s"),
        (360, "6m0s"),
        (3600.5, "1h0m0.5s"),
        (-1, "0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_a_denial_says_limit_used_requested_and_when_to_try_again() -> None:
    reply = denied(DENIAL, "m", KeyConfig(name="a"))
    error = orjson.loads(reply.body)["error"]
    assert reply.status == 429
    assert (
        "on tokens per min (TPM): Limit 1000, Used 950, Requested 100. Please try again in 3.001s." in error["message"]
    )
    assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("hint", "headers", "in_message"),
    [
        ("both", {"retry-after": "4", "retry-after-ms": "3001"}, True),
        ("retry-after", {"retry-after": "4"}, True),
        ("retry-after-ms", {"retry-after-ms": "3001"}, True),
        ("body", {}, True),
        ("none", {}, False),
    ],
)
def test_a_key_gives_as_much_of_a_hint_as_configured(hint: str, headers: dict[str, str], in_message: bool) -> None:
    reply = denied(DENIAL, "m", KeyConfig.model_validate({"name": "a", "retry_hint": hint}))
    assert reply.headers == headers
    assert (b"Please try again" in reply.body) == in_message


def test_a_call_that_never_fits_says_that_it_is_too_large() -> None:
    never = Denial(limit=Limit.TOKENS, allowed=10, used=0, requested=100, wait_s=None, never=True)
    reply = denied(never, "m", KeyConfig(name="a"))
    assert b"Request too large" in reply.body
    assert not reply.headers


def test_headers_tell_requests_and_combined_tokens_only() -> None:
    levels = [
        Level(limit=Limit.REQUESTS, allowed=5000, remaining=4999, reset_s=0.012),
        Level(limit=Limit.INPUT_TOKENS, allowed=1, remaining=1, reset_s=0),
    ]
    assert of_limits(levels, 0.0) == {
        "x-ratelimit-limit-requests": "5000",
        "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-reset-requests": "12ms",
    }

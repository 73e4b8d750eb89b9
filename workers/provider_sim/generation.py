"""Generates: what is said in the end, how large it is, and why it stopped there."""

from dataclasses import dataclass
from enum import StrEnum

from workers.provider_sim.answers import digest_of, text_from, tokens_of
from workers.provider_sim.call import Call, TextCall
from workers.provider_sim.chance import lognormal
from workers.provider_sim.config import OutputConfig, UsageConfig
from workers.provider_sim.wishes import ToolCall

REFUSE = "[refuse]"
"""What a prompt contains to be refused by the model."""
BLOCK = "[block]"
"""What a prompt contains to be stopped by a content filter."""


class Stop(StrEnum):
    """Why an answer ends where it does."""

    DONE = "done"
    MAXIMUM = "maximum"
    SEQUENCE = "sequence"
    CALLS = "calls"
    REFUSED = "refused"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """How much was generated, and why it stopped there."""

    input_tokens: int
    cached_tokens: int
    """Read from a cache; part of the input, as are those written to it."""
    cache_written_tokens: int
    output_tokens: int
    reasoning_tokens: int
    prompt_digest: bytes
    text: str
    """The whole answer, even where the maximum is smaller: it is a proof of the prompt, not a sample."""
    stop: Stop
    calls: tuple[ToolCall, ...] = ()
    sequence: str | None = None
    """The stop sequence that ended it."""


def generate(call: Call, output: OutputConfig, usage: UsageConfig, *, normal: float) -> Generated:
    """Return the answer to `call` and its size; `normal` is a standard normal number."""
    digest = digest_of(call.prompt)
    text, sequence = text_from(digest), None
    calls: tuple[ToolCall, ...] = ()
    produced, stop = 0, Stop.DONE
    if isinstance(call, TextCall):
        wish = call.wish
        if wish is not None and wish.answer is not None:
            text, calls = wish.answer.text, wish.answer.calls
            stop = Stop.CALLS if calls else stop
        if "[" in call.prompt and (unsaid := _unsaid(call.prompt)) is not None:
            stop, text, calls = unsaid, "", ()
        if wish is not None and (sequence := _first(wish.stops, text)) is not None:
            stop, text = Stop.SEQUENCE, text[: text.index(sequence)]
        if output.mean_tokens is None:
            wanted = max(1, tokens_of(text))
            for made in calls:
                wanted += tokens_of(made.text)
        else:
            wanted = max(1, round(lognormal(output.mean_tokens, output.sigma, normal)))
        if call.max_output_tokens is not None and wanted > call.max_output_tokens:
            wanted = call.max_output_tokens
            stop = stop if stop in {Stop.REFUSED, Stop.BLOCKED} else Stop.MAXIMUM
        produced = wanted * call.choices
    cached = int(call.input_tokens * usage.cached_share)
    return Generated(
        input_tokens=call.input_tokens,
        cached_tokens=cached,
        cache_written_tokens=int((call.input_tokens - cached) * usage.cache_written_share),
        output_tokens=produced,
        reasoning_tokens=int(produced * usage.reasoning_share),
        prompt_digest=digest,
        text=text,
        stop=stop,
        calls=calls,
        sequence=sequence,
    )


def _unsaid(prompt: str) -> Stop | None:
    if REFUSE in prompt:
        return Stop.REFUSED
    return Stop.BLOCKED if BLOCK in prompt else None


def _first(stops: tuple[str, ...], text: str) -> str | None:
    """Return the stop sequence that occurs first, if any does."""
    found = [stop for stop in stops if stop and stop in text]
    return min(found, key=text.index, default=None)

"""What a server does without a word that people run themselves: it cuts requests, and ignores what it was asked for."""

from dataclasses import replace

from workers.provider_sim.call import Refused, Reply, TextCall
from workers.provider_sim.config import SelfHostedConfig
from workers.provider_sim.self_hosted.overflow import overflow
from workers.provider_sim.vendor import Vendor
from workers.provider_sim.wishes import Answer, ToolCall

_BYTES_PER_TOKEN = 4


def as_served(call: TextCall, config: SelfHostedConfig, vendor: Vendor, *, is_openai: bool) -> TextCall:
    """Return the call as the server takes it; raises `Refused` when it is too long for its window."""
    if config.schemas == "ignored" and call.wish is not None and call.wish.wants_json:
        call = replace(call, wish=replace(call.wish, wants_json=False, schema=None))
    window = config.context_window
    if window is None:
        return call
    if config.truncate:
        return call if call.input_tokens <= window else _truncated(call, window)
    reply = _too_long(call, window, config, vendor, is_openai=is_openai)
    if reply is not None:
        raise Refused("context_exceeded", reply)
    return call


def as_answered(answer: Answer, config: SelfHostedConfig) -> Answer:
    """Return the answer as the server gives it."""
    if config.tool_arguments == "valid":
        return answer
    return replace(answer, calls=tuple(_broken(made) for made in answer.calls))


def _truncated(call: TextCall, window: int) -> TextCall:
    """Return a call that lost its front: its answer is that to what is left."""
    kept = call.prompt.encode("utf-8", "surrogatepass")[-window * _BYTES_PER_TOKEN :]
    return replace(call, prompt=kept.decode("utf-8", "ignore"), input_tokens=window)


def _too_long(
    call: TextCall, window: int, config: SelfHostedConfig, vendor: Vendor, *, is_openai: bool
) -> Reply | None:
    maximum = call.max_output_tokens or 0
    engine = config.engine if is_openai else None
    if engine is not None:
        return overflow(engine, call.input_tokens, maximum, window)
    return vendor.errors.context_exceeded(call.input_tokens, maximum, window)


def _broken(made: ToolCall) -> ToolCall:
    return replace(made, text=made.text[: max(1, len(made.text) // 2)], is_broken=True)

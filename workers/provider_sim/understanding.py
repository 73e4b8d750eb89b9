"""Understands a request: what is called, what its answer will be, and what all tries of it share."""

from collections.abc import Mapping
from dataclasses import replace

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import Call, Refused, TextCall
from workers.provider_sim.chance import identity_of
from workers.provider_sim.config import SelfHostedConfig
from workers.provider_sim.openai.endpoints import OPENAI
from workers.provider_sim.schemas import NotFollowed
from workers.provider_sim.self_hosted.behaviour import as_answered, as_served
from workers.provider_sim.vendor import Endpoint
from workers.provider_sim.wishes import answer_to


def understood(
    endpoint: Endpoint,
    model: str,
    body: dict[str, JsonValue],
    headers: Mapping[str, str],
    config: SelfHostedConfig | None,
    *,
    is_random: bool,
) -> tuple[Call, int]:
    """Return the call and the identity of its request, 0 where nothing is random; raises `Refused`.

    `config` is `None` where nothing differs from what a vendor does.
    """
    errors = endpoint.vendor.errors
    try:
        identity = identity_of(endpoint.path, body) if is_random else 0
        call = endpoint.read(model, body, headers)
        if isinstance(call, TextCall) and (config is not None or call.wish is not None):
            call = _with_answer(call, endpoint, config)
    except orjson.JSONEncodeError:
        # The parser takes deeper nesting than the writer.
        too_deep = errors.invalid("The JSON body of your request is nested too deeply.")
        raise Refused("invalid_request", too_deep) from None
    except (NotFollowed, RecursionError) as error:
        raise Refused("invalid_request", errors.invalid(f"Invalid schema: {error}")) from None
    return call, identity


def _with_answer(call: TextCall, endpoint: Endpoint, config: SelfHostedConfig | None) -> TextCall:
    """Return the call with what will be said, where a text is not all that was asked for."""
    if config is not None:
        call = as_served(call, config, endpoint.vendor, is_openai=endpoint.vendor is OPENAI)
    if call.wish is None:
        return call
    answer = answer_to(call.prompt, call.wish)
    if answer is None:
        return call
    said = answer if config is None else as_answered(answer, config)
    return replace(call, wish=replace(call.wish, answer=said))

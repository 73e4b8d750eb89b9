"""Understands a request: what is called, what its answer will be, and what all tries of it share."""

from collections.abc import Mapping
from dataclasses import replace

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import Call, Refused, TextCall
from workers.provider_sim.chance import identity_of
from workers.provider_sim.config import SelfHostedConfig, SimConfig
from workers.provider_sim.openai.endpoints import OPENAI
from workers.provider_sim.schemas import NotFollowed
from workers.provider_sim.self_hosted.behaviour import as_answered, as_served
from workers.provider_sim.vendor import Asked, Endpoint
from workers.provider_sim.wishes import answer_to

_AS_USUAL = SelfHostedConfig()


def understood(
    endpoint: Endpoint,
    model: str,
    body: dict[str, JsonValue],
    headers: Mapping[str, str],
    config: SimConfig,
    *,
    is_random: bool,
) -> tuple[Call, int]:
    """Return the call and the identity of its request, 0 where nothing is random; raises `Refused`."""
    errors = endpoint.vendor.errors
    try:
        identity = identity_of(endpoint.path, body) if is_random else 0
        call = endpoint.read(Asked(model=model, body=body, headers=headers, path=endpoint.path))
        return (_with_answer(call, endpoint, config.self_hosted) if isinstance(call, TextCall) else call), identity
    except orjson.JSONEncodeError:
        # The parser takes deeper nesting than the writer.
        too_deep = errors.invalid("The JSON body of your request is nested too deeply.")
        raise Refused("invalid_request", too_deep) from None
    except (NotFollowed, RecursionError) as error:
        raise Refused("invalid_request", errors.invalid(f"Invalid schema: {error}")) from None


def _with_answer(call: TextCall, endpoint: Endpoint, config: SelfHostedConfig) -> TextCall:
    """Return the call with what will be said, where a text is not all that was asked for."""
    if config is not _AS_USUAL and config != _AS_USUAL:
        call = as_served(call, config, endpoint.vendor, is_openai=endpoint.vendor is OPENAI)
    if call.wish is None:
        return call
    answer = answer_to(call.prompt, call.wish)
    return call if answer is None else replace(call, answer=as_answered(answer, config))

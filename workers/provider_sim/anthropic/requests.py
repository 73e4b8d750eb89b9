"""Reads requests for messages: what to answer, and how large it is."""

from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from workers.provider_sim.anthropic import models
from workers.provider_sim.anthropic.blocks import check_text
from workers.provider_sim.anthropic.closed_schemas import complaint
from workers.provider_sim.anthropic.errors import refused
from workers.provider_sim.anthropic.messages import hear
from workers.provider_sim.anthropic.tools import read_choice, read_tools
from workers.provider_sim.call import TextCall
from workers.provider_sim.names import names
from workers.provider_sim.prompts import Conversation, text_of
from workers.provider_sim.vendor import Body
from workers.provider_sim.wishes import Wish

OLD, NEW = "2023-06-01", "2026-10-21"
_KNOWN = names(
    "cache_control container diagnostics inference_geo max_tokens messages metadata model output_config "
    "service_tier speed stop_sequences stream system temperature thinking tool_choice tools top_k top_p"
)
_SAMPLING = ("temperature", "top_p", "top_k")
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_MOST_TOKENS = 10_000_000
_LEAST_BUDGET = 1024


def read_message(model: str, body: Body, headers: Mapping[str, str]) -> TextCall:
    """Read a request for a message; raises `Refused`."""
    version = _version(headers)
    if unknown := body.keys() - _KNOWN:
        raise refused(f"{min(unknown)}: Extra inputs are not permitted")
    if body.get("stream"):
        raise refused("stream: Streaming is not simulated.")
    maximum = _maximum(body)
    _check_sampling(model, body, version)
    _check_identity(body)
    conversation = Conversation()
    _hear_system(body.get("system"), conversation)
    tools = read_tools(body.get("tools"))
    if tools:
        conversation.tokens += len(orjson.dumps(body["tools"])) // 4
    hear(body.get("messages"), conversation, model=model, has_tools=bool(tools), is_new=version == NEW)
    choice, may_be_parallel = read_choice(body.get("tool_choice"), tools)
    thinks = _thinks(body, maximum, is_forced=choice.mode == "required")
    schema = _schema(body.get("output_config"))
    return TextCall(
        model=model,
        prompt=conversation.prompt,
        input_tokens=conversation.tokens,
        max_output_tokens=maximum,
        wish=Wish(
            wants_json=schema is not None,
            schema=schema,
            tools=tools,
            choice=choice,
            may_be_parallel=may_be_parallel,
            has_results=conversation.has_results,
            stops=_stops(body.get("stop_sequences")),
            shows_reasoning=thinks,
        ),
    )


def _version(headers: Mapping[str, str]) -> str:
    version = headers.get("anthropic-version")
    if version is None:
        raise refused("anthropic-version: header is required")
    if version not in (OLD, NEW):
        raise refused(f'anthropic-version: "{version}" is not a valid version')
    return version


def _maximum(body: Body) -> int:
    maximum = body.get("max_tokens")
    if maximum is None:
        raise refused("max_tokens: Field required")
    if not isinstance(maximum, int) or isinstance(maximum, bool):
        raise refused("max_tokens: Input should be a valid integer")
    if not 1 <= maximum <= _MOST_TOKENS:
        raise refused(f"max_tokens: must be from 1 to {_MOST_TOKENS}")
    return maximum


def _check_sampling(model: str, body: Body, version: str) -> None:
    """Refuse sampling where it is not taken any more, whatever its values."""
    given = [name for name in _SAMPLING if body.get(name) is not None]
    if not given:
        return
    if version == NEW:
        raise refused(f"{given[0]}: not supported in version {NEW} of the API")
    if not models.takes_sampling(model):
        raise refused(f"{given[0]}: not supported by this model")
    for name, highest in (("temperature", 1), ("top_p", 1), ("top_k", 1_000_000)):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= highest:
            raise refused(f"{name}: range: 0..{highest}")


def _check_identity(body: Body) -> None:
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and (unknown := metadata.keys() - {"user_id"}):
        raise refused(f"metadata.{min(unknown)}: Extra inputs are not permitted")
    if body.get("service_tier") not in (None, "auto", "standard_only"):
        raise refused("service_tier: Input should be 'auto' or 'standard_only'")
    marks = orjson.dumps(body).count(b'"cache_control":{')
    if marks > 4:
        raise refused(f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.")


def _hear_system(system: JsonValue, conversation: Conversation) -> None:
    if system is None:
        return
    if not isinstance(system, str | list):
        raise refused("system: Input should be a valid string or list")
    for index, block in enumerate(system if isinstance(system, list) else ()):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise refused(f"system.{index}.type: Input should be 'text'")
        check_text(block.get("text"), f"system.{index}", "system")
    text, tokens = text_of(system)
    conversation.hear("system", text, tokens)


def _stops(stops: JsonValue) -> tuple[str, ...]:
    if stops is None:
        return ()
    if not isinstance(stops, list):
        raise refused("stop_sequences: Input should be a valid list")
    for stop in stops:
        if not isinstance(stop, str) or not stop.strip():
            raise refused("stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(str(stop) for stop in stops)


def _thinks(body: Body, maximum: int, *, is_forced: bool) -> bool:
    """Return whether thinking is shown; raises `Refused` where it cannot be combined."""
    thinking = body.get("thinking")
    if thinking is None:
        return False
    match thinking:
        case {"type": "disabled"}:
            return False
        case {"type": "adaptive" | "between_tools"}:
            return True
        case {"type": "enabled", "budget_tokens": int(budget)}:
            if budget < _LEAST_BUDGET:
                raise refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
            if budget >= maximum:
                raise refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
            if is_forced:
                raise refused("Thinking may not be enabled when tool_choice forces tool use.")
            if body.get("temperature") not in (None, 1) or body.get("top_k") is not None:
                raise refused("`temperature` may only be set to 1 and `top_k` must be unset when thinking is enabled.")
            return True
    raise refused("thinking: Input tag should be 'enabled', 'disabled', 'adaptive' or 'between_tools'")


def _schema(config: JsonValue) -> JsonValue:
    """Return the schema that the answer has to follow, if any."""
    if config is None:
        return None
    if not isinstance(config, dict) or (unknown := config.keys() - {"effort", "format"}):
        raise refused(
            f"output_config.{min(unknown) if isinstance(config, dict) else ''}: Extra inputs are not permitted"
        )
    if config.get("effort") not in (None, *_EFFORTS):
        raise refused(f"output_config.effort: Input should be one of {', '.join(_EFFORTS)}")
    match config.get("format"):
        case None:
            return None
        case {"type": "json_schema", "schema": dict(schema)}:
            if why := complaint(schema):
                raise refused(f"output_config.format.schema: {why}")
            return schema
    raise refused("output_config.format: Input should be a JSON schema")

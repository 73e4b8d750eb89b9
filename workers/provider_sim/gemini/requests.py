"""Reads requests for content: what to answer, and how large it is."""

from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import TextCall
from workers.provider_sim.gemini import fields
from workers.provider_sim.gemini.contents import hear, hear_system
from workers.provider_sim.gemini.errors import refused
from workers.provider_sim.gemini.proto_json import camel_case, message, number, whole
from workers.provider_sim.gemini.tools import check_references, check_schema, read_choice, read_tools
from workers.provider_sim.prompts import Conversation
from workers.provider_sim.vendor import Body
from workers.provider_sim.wishes import Wish

_MOST_TOKENS = 10_000_000
_INT32 = 2**31
_MOST_STOPS = 5
_MOST_CANDIDATES = 8
_JSON_OR_TEXT = ("application/json", "text/plain", "text/x.enum")
_WITHOUT_JSON_AND_TOOLS = ("gemini-1", "gemini-2")


def read_content(model: str, given: Body, *, needs_role: bool) -> TextCall:
    """Read a request for content; `needs_role`: as Vertex does. Raises `Refused`."""
    body = message(camel_case(given), "", fields.REQUEST)
    if body.get("cachedContent"):
        raise refused("CachedContent not found (or permission denied)")
    conversation = Conversation()
    hear_system(body.get("systemInstruction"), conversation)
    hear(
        body.get("contents"),
        conversation,
        needs_role=needs_role,
        needs_signatures=model.startswith("gemini-3"),
    )
    tools = read_tools(body.get("tools"))
    if tools:
        conversation.tokens += len(orjson.dumps(given["tools"])) // 4
    config = message(body.get("generationConfig") or {}, "generation_config", fields.GENERATION)
    _check_sampling(config)
    wants_json, schema = _format(config)
    if wants_json and tools and model.startswith(_WITHOUT_JSON_AND_TOOLS):
        raise refused("Function calling with a response mime type: 'application/json' is unsupported")
    maximum = config.get("maxOutputTokens")
    count = config.get("candidateCount")
    return TextCall(
        model=model,
        prompt=conversation.prompt,
        input_tokens=conversation.tokens,
        max_output_tokens=None
        if maximum is None
        else whole(maximum, "generation_config.max_output_tokens", least=1, most=_MOST_TOKENS),
        choices=1
        if count is None
        else whole(count, "generation_config.candidate_count", least=1, most=_MOST_CANDIDATES),
        wish=Wish(
            wants_json=wants_json,
            schema=schema,
            tools=tools,
            choice=read_choice(body.get("toolConfig"), tools),
            has_results=conversation.has_results,
            stops=_stops(config.get("stopSequences")),
            shows_reasoning=_shows_thoughts(config.get("thinkingConfig")),
        ),
    )


def _check_sampling(config: Mapping[str, JsonValue]) -> None:
    for name, lowest, highest in (
        ("temperature", 0.0, 2.0),
        ("topP", 0.0, 1.0),
        ("presencePenalty", -2.0, 2.0),
        ("frequencyPenalty", -2.0, 2.0),
    ):
        if config.get(name) is not None:
            number(config[name], f"generation_config.{name}", least=lowest, most=highest)
    if config.get("seed") is not None:
        whole(config["seed"], "generation_config.seed", least=-_INT32, most=_INT32 - 1)
    if config.get("topK") is not None:
        whole(config["topK"], "generation_config.top_k", least=1, most=1_000_000)


def _format(config: Mapping[str, JsonValue]) -> tuple[bool, JsonValue]:
    """Return whether JSON is wanted, and under which schema."""
    mime = config.get("responseMimeType")
    if mime not in (None, "", *_JSON_OR_TEXT):
        raise refused(
            f"* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are {_JSON_OR_TEXT}"
        )
    subset, whole_schema = config.get("responseSchema"), config.get("responseJsonSchema")
    if subset is not None and whole_schema is not None:
        raise refused("response_schema and response_json_schema may not both be set.")
    if (subset is not None or whole_schema is not None) and mime not in ("application/json", "text/x.enum"):
        raise refused("Forced function calling (response schema) needs response_mime_type application/json")
    if mime == "text/x.enum":
        raise refused("Answers of type text/x.enum are not simulated.")
    if subset is not None:
        check_schema(subset, "generation_config.response_schema")
    if whole_schema is not None:
        check_references(whole_schema, "generation_config.response_json_schema")
    return mime == "application/json", subset if whole_schema is None else whole_schema


def _stops(stops: JsonValue) -> tuple[str, ...]:
    if stops is None:
        return ()
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise refused("Invalid value at 'generation_config.stop_sequences' (TYPE_STRING)")
    if len(stops) > _MOST_STOPS:
        raise refused(f"* GenerateContentRequest.generation_config.stop_sequences: at most {_MOST_STOPS} are allowed")
    return tuple(str(stop) for stop in stops)


def _shows_thoughts(config: JsonValue) -> bool:
    if config is None:
        return False
    given = message(config, "generation_config.thinking_config", fields.THINKING)
    if given.get("thinkingBudget") is not None and given.get("thinkingLevel") is not None:
        raise refused("You can only set only one of thinking budget and thinking level.")
    return given.get("includeThoughts") is True

"""Reads message requests of both API versions. Source: Anthropic API reference, "Create a Message"."""

from collections.abc import Iterator, Mapping
from typing import Any

from broker.domain.loss import LossClass
from broker.protocols.anthropic_messages.read_messages import read_system, read_turns
from broker.protocols.anthropic_messages.thinking import read_reasoning
from broker.protocols.anthropic_messages.tools import PARALLEL_PATH, read_choice, read_tools
from broker.protocols.canonical.request import NO_SAMPLING, Format, FormatKind, Request, Sampling, Unmapped
from broker.protocols.fields import Object, an_object, array, flag, number, string, strings, unknown, whole
from broker.protocols.losses import MalformedRequest

_OUTPUT_CONFIG = frozenset({"effort", "format"})
_FORMAT = frozenset({"type", "schema"})
_METADATA = frozenset({"user_id"})
_TIERS = {"auto": "auto", "standard_only": "default"}
_LEFT_OVER: Mapping[str, tuple[LossClass, str, bool]] = {
    "cache_control": (LossClass.HINT, "a cache mark that Anthropic places itself", False),
    "diagnostics": (LossClass.HINT, "what is to be told about the cache", False),
    "speed": (LossClass.HINT, "how fast Anthropic is to generate", False),
    "user_profile_id": (LossClass.HINT, "whom Anthropic is to account the request to", False),
    "workspace_id": (LossClass.HINT, "a workspace at Anthropic", False),
    "billing_policy": (LossClass.HINT, "whom Anthropic is to bill", False),
    "fallback_credit_token": (LossClass.HINT, "a credit with Anthropic", False),
    "fallbacks": (LossClass.SAMPLING, "models of Anthropic that may answer instead", False),
    "context_management": (LossClass.SAMPLING, "what Anthropic is to leave out of a long conversation", False),
    "compaction": (LossClass.SAMPLING, "how Anthropic is to shorten a long conversation", False),
    "inference_geo": (LossClass.CONTENT, "the region that the request may be served in", True),
    "container": (LossClass.CONTENT, "a container that Anthropic keeps", False),
    "thread": (LossClass.CONTENT, "a conversation that Anthropic keeps", False),
    "mcp_servers": (LossClass.CONTENT, "servers of tools that Anthropic calls itself", True),
}
"""What is known and has no place in the canonical form: its class, what it is, and whether it may be dropped."""
_HOSTED = frozenset({"mcp_servers"})
_READ = frozenset(
    {
        *_LEFT_OVER,
        "model",
        "messages",
        "max_tokens",
        "system",
        "tools",
        "tool_choice",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
        "service_tier",
        "stream",
    }
)
_POINTERS: Mapping[str, str] = {
    "max_output_tokens": "/max_tokens",
    "temperature": "/temperature",
    "top_p": "/top_p",
    "top_k": "/top_k",
    "stop": "/stop_sequences",
    "user_id": "/metadata/user_id",
    "service_tier": "/service_tier",
    "parallel_tools": PARALLEL_PATH,
    "n": "",
}


def read_request(body: Object) -> Request:
    """Read a body; raises `MalformedRequest`."""
    unmapped: list[Unmapped] = unknown(body, _READ)
    unmapped += _left_over(body)
    turns = read_turns(body, unmapped)
    choice, parallel = read_choice(body, unmapped)
    return Request(
        turns=turns,
        system=read_system(body, unmapped),
        tools=read_tools(body, unmapped),
        tool_choice=choice,
        parallel_tools=parallel,
        max_output_tokens=_limit(body, unmapped),
        stop=strings(array(body, "stop_sequences") or [], "/stop_sequences"),
        sampling=_sampling(body),
        format=_format(body, unmapped),
        reasoning=read_reasoning(body, unmapped),
        user_id=_user_id(body, unmapped),
        service_tier=_tier(body),
        unmapped=tuple(unmapped),
        pointers=_POINTERS,
    )


def _limit(body: Object, unmapped: list[Unmapped]) -> int | None:
    limit = whole(body, "max_tokens")
    if limit is None or limit < 0:
        raise MalformedRequest("/max_tokens", "is missing" if limit is None else "must be 0 or more")
    if limit == 0:
        what = "a request that only fills Anthropic's cache and asks for no answer"
        unmapped.append(_unmapped("/max_tokens", "unsupported_field", what, LossClass.CONTENT))
        return None
    return limit


def _sampling(body: Object) -> Sampling:
    temperature, top_p, top_k = number(body, "temperature"), number(body, "top_p"), whole(body, "top_k")
    if temperature is None and top_p is None and top_k is None:
        return NO_SAMPLING
    return Sampling(temperature=temperature, top_p=top_p, top_k=top_k)


def _format(body: Object, unmapped: list[Unmapped]) -> Format | None:
    """Read the schema of the answer: from `output_config`, or from the field that it superseded."""
    config = an_object(body, "output_config")
    path = "/output_format"
    wanted: dict[str, Any] | None = an_object(body, "output_format")
    if config is not None:
        unmapped += unknown(config, _OUTPUT_CONFIG, "/output_config")
        newer = an_object(config, "format", "/output_config")
        if newer is not None:
            path, wanted = "/output_config/format", newer
    if wanted is None:
        return None
    unmapped += unknown(wanted, _FORMAT, path)
    schema = an_object(wanted, "schema", path)
    if wanted.get("type") != "json_schema" or schema is None:
        raise MalformedRequest(path, "must have the type json_schema and a schema")
    return Format(kind=FormatKind.JSON_SCHEMA, schema=schema, strict=True, path=path)


def _user_id(body: Object, unmapped: list[Unmapped]) -> str | None:
    metadata = an_object(body, "metadata")
    if metadata is None:
        return None
    unmapped += unknown(metadata, _METADATA, "/metadata")
    return string(metadata, "user_id", "/metadata")


def _tier(body: Object) -> str | None:
    tier = string(body, "service_tier")
    if tier is None:
        return None
    if tier not in _TIERS:
        raise MalformedRequest("/service_tier", "must be auto or standard_only")
    return _TIERS[tier]


def _left_over(body: Object) -> Iterator[Unmapped]:
    if not _LEFT_OVER.keys().isdisjoint(body):
        for key, (loss_class, what, droppable) in _LEFT_OVER.items():
            if body.get(key) not in (None, []):
                code = "hosted_tool" if key in _HOSTED else "unsupported_field"
                yield _unmapped(f"/{key}", code, what, loss_class, droppable=droppable)
    if flag(body, "stream"):
        what = "a streamed answer cannot be translated"
        yield _unmapped("/stream", "unsupported_field", what, LossClass.CONTENT)


def _unmapped(path: str, code: str, detail: str, loss_class: LossClass, *, droppable: bool = False) -> Unmapped:
    return Unmapped(path=path, code=code, detail=detail, loss_class=loss_class, droppable=droppable)

"""Reads the tools of a request and the choice among them."""

import re
from collections.abc import Sequence

from pydantic import JsonValue

from workers.provider_sim.anthropic.closed_schemas import complaint
from workers.provider_sim.anthropic.errors import refused
from workers.provider_sim.names import names
from workers.provider_sim.wishes import Choice, Tool

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_KNOWN = names(
    "name input_schema description type cache_control strict allowed_callers defer_loading eager_input_streaming "
    "input_examples"
)


_OF_CHOICE = {
    "auto": {"type", "disable_parallel_tool_use"},
    "any": {"type", "disable_parallel_tool_use"},
    "tool": {"type", "disable_parallel_tool_use", "name"},
    "none": {"type"},
}


def read_tools(listed: JsonValue) -> tuple[Tool, ...]:
    """Return the tools that may be called; raises `Refused`."""
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise refused("tools: Input should be a valid list")
    tools = tuple(_tool(entry, f"tools.{index}") for index, entry in enumerate(listed))
    if len({tool.name for tool in tools}) < len(tools):
        raise refused("tools: Tool names must be unique.")
    return tools


def _tool(entry: JsonValue, place: str) -> Tool:
    if not isinstance(entry, dict):
        raise refused(f"{place}: Input should be a valid dictionary")
    if entry.get("type") not in (None, "custom"):
        raise refused(f"{place}: tools of type '{entry['type']}' are not simulated")
    place = f"{place}.custom"
    if unknown := entry.keys() - _KNOWN:
        raise refused(f"{place}.{min(unknown)}: Extra inputs are not permitted")
    name, schema = entry.get("name"), entry.get("input_schema")
    if not isinstance(name, str):
        raise refused(f"{place}.name: Field required")
    if not _NAME.fullmatch(name):
        raise refused(f"{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if not isinstance(schema, dict):
        raise refused(f"{place}.input_schema: Field required")
    if schema.get("type") != "object":
        raise refused(f"{place}.input_schema.type: Input should be 'object'")
    if entry.get("strict") and (why := complaint(schema)):
        raise refused(f"{place}.input_schema: {why}")
    return Tool(name=name, schema=schema)


def read_choice(choice: JsonValue, tools: Sequence[Tool]) -> tuple[Choice, bool]:
    """Return how free the answer is, and whether it may make several calls at once; raises `Refused`."""
    if choice is None:
        return Choice(), True
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or kind not in ("auto", "any", "tool", "none"):
        raise refused("tool_choice: Input tag should be 'auto', 'any', 'tool' or 'none'")
    if not tools:
        raise refused("tool_choice: may only be specified while providing tools")
    if unknown := choice.keys() - _OF_CHOICE[str(kind)]:
        raise refused(f"tool_choice.{kind}.{min(unknown)}: Extra inputs are not permitted")
    may_be_parallel = choice.get("disable_parallel_tool_use") is not True
    match kind:
        case "none":
            return Choice(mode="none"), may_be_parallel
        case "any":
            return Choice(mode="required"), may_be_parallel
        case "tool":
            name = choice.get("name")
            if not isinstance(name, str) or name not in {tool.name for tool in tools}:
                raise refused(f"tool_choice.tool.name: Tool '{name}' not found in provided tools")
            return Choice(mode="required", names=(name,)), may_be_parallel
    return Choice(), may_be_parallel

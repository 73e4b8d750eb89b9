"""Tools of the chat dialect: definitions and the choice among them, read and written."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from broker.domain.caps import Caps
from broker.protocols.canonical.request import ChoiceMode, Request, Tool, ToolChoice, ToolKind, Unmapped
from broker.protocols.fields import Object, an_object, array, flag, objects, string, the_string, unknown
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.portable_tools import portable, portable_choice
from broker.protocols.strict_schema import is_closed

_MODES = {
    "auto": ChoiceMode.AUTO,
    "none": ChoiceMode.NONE,
    "required": ChoiceMode.REQUIRED,
    "any": ChoiceMode.REQUIRED,  # Mistral's word
}
_TOOL_KEYS = frozenset({"type", "function", "cache_control"})
_FUNCTION_KEYS = frozenset({"name", "description", "parameters", "strict"})


def read_tools(body: Object, unmapped: list[Unmapped]) -> tuple[Tool, ...]:
    """Read the definitions, the deprecated `functions` included; raises `MalformedRequest`."""
    tools = [_tool(value, path, unmapped) for value, path in objects(array(body, "tools") or [], "/tools")]
    tools += [_function(value, path, unmapped) for value, path in objects(array(body, "functions") or [], "/functions")]
    return tuple(tools)


def _tool(value: dict[str, Any], path: str, unmapped: list[Unmapped]) -> Tool:
    match value.get("type"):
        case "function":
            function = an_object(value, "function", path)
            if function is None:
                raise MalformedRequest(f"{path}/function", "is missing")
            unmapped += unknown(value, _TOOL_KEYS, path)
            tool = _function(function, f"{path}/function", unmapped)
            return replace(tool, cache="") if value.get("cache_control") else tool
        case "custom":
            custom = an_object(value, "custom", path) or {}
            name = the_string(custom, "name", f"{path}/custom")
            return Tool(name=name, kind=ToolKind.CUSTOM, path=path)
        case str(kind):
            return Tool(name=kind, kind=ToolKind.HOSTED, path=path)
        case _:
            raise MalformedRequest(f"{path}/type", "must be a string, such as function")


def _function(function: dict[str, Any], path: str, unmapped: list[Unmapped]) -> Tool:
    unmapped += unknown(function, _FUNCTION_KEYS, path)
    return Tool(
        name=the_string(function, "name", path),
        description=string(function, "description", path),
        schema=an_object(function, "parameters", path),
        strict=flag(function, "strict", path),
        path=path,
    )


def read_tool_choice(body: Object) -> ToolChoice | None:
    """Read the choice, the deprecated `function_call` included."""
    choice, path = body.get("tool_choice"), "/tool_choice"
    if choice is None:
        choice, path = body.get("function_call"), "/function_call"
    match choice:
        case None:
            return None
        case str(word) if word in _MODES:
            return ToolChoice(mode=_MODES[word], path=path)
        case {"type": "allowed_tools", "allowed_tools": {"mode": str(word), "tools": [*tools]}} if word in _MODES:
            names = tuple(_chosen(tool, f"{path}/allowed_tools/tools/{index}") for index, tool in enumerate(tools))
            return ToolChoice(mode=_MODES[word], names=names, path=path)
        case {"name": str(name)}:
            return ToolChoice(mode=ChoiceMode.REQUIRED, names=(name,), path=path)
        case dict():
            return ToolChoice(mode=ChoiceMode.REQUIRED, names=(_chosen(choice, path),), path=path)
        case _:
            raise MalformedRequest(path, "must be auto, none, required or name a tool")


def _chosen(tool: object, path: str) -> str:
    match tool:
        case {"type": "function", "function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return name
        case _:
            raise MalformedRequest(path, 'must read {"type": "function", "function": {"name": …}}')


def write_tools(request: Request, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    """Write definitions, choice and parallelism as members of the body; a choice without tools says nothing."""
    tools = portable(request.tools, losses)
    choice = request.tool_choice and portable_choice(request.tool_choice, tools, losses)
    if not tools:
        return
    yield "tools", [_written(tool, caps, losses) for tool in tools]
    if choice is not None:
        yield "tool_choice", _choice(choice)
    if request.parallel_tools is not None:
        yield "parallel_tool_calls", request.parallel_tools


def _written(tool: Tool, caps: Caps, losses: Losses) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        if not tool.strict or (caps.strict_tools and is_closed(tool.schema)):
            function["strict"] = tool.strict
        else:
            what = "strict needs a schema whose objects are closed and require all their properties; it is left out"
            losses.hint(tool.path, "strict_dropped", what)
    if tool.cache is not None:
        losses.hint(tool.path, "cache_mark", "a cache mark")
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> object:
    match choice.names:
        case ():
            return choice.mode.value
        case (name,) if choice.mode is ChoiceMode.REQUIRED:
            return _named(name)
        case names:
            allowed = {"mode": choice.mode.value, "tools": [_named(name) for name in names]}
            return {"type": "allowed_tools", "allowed_tools": allowed}


def _named(name: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": name}}

"""Tools of the responses dialect: definitions and the choice among them, read and written."""

from collections.abc import Iterator
from typing import Any

from broker.domain.caps import Caps
from broker.domain.loss import LossClass
from broker.protocols.canonical.request import ChoiceMode, Request, Tool, ToolChoice, ToolKind, Unmapped
from broker.protocols.fields import Object, an_object, array, flag, objects, string, the_string, unknown
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.portable_tools import portable, portable_choice
from broker.protocols.strict_schema import is_closed

_MODES = {"auto": ChoiceMode.AUTO, "none": ChoiceMode.NONE, "required": ChoiceMode.REQUIRED}
_NAMED = frozenset({"function", "custom"})
"""Types of tools that the producer runs."""
_HINTS = ("output_schema", "defer_loading", "allowed_callers")
"""How OpenAI presents a function; the function is the same without."""
_FUNCTION_KEYS = frozenset({"type", "name", "description", "parameters", "strict", *_HINTS})


def read_tools(body: Object, unmapped: list[Unmapped]) -> tuple[Tool, ...]:
    """Read the definitions; raises `MalformedRequest`."""
    return tuple(_tool(value, path, unmapped) for value, path in objects(array(body, "tools") or [], "/tools"))


def _tool(value: dict[str, Any], path: str, unmapped: list[Unmapped]) -> Tool:
    match value.get("type"):
        case "function":
            if not value.keys() <= _FUNCTION_KEYS:
                unmapped += unknown(value, _FUNCTION_KEYS, path)
            for key in _HINTS:
                if value.get(key):
                    unmapped.append(_lost(f"{path}/{key}", "unsupported_field", f"{key} is OpenAI's own"))
            return Tool(
                name=the_string(value, "name", path),
                description=string(value, "description", path),
                schema=an_object(value, "parameters", path),
                strict=flag(value, "strict", path),
                path=path,
            )
        case "custom":
            description = string(value, "description", path)
            return Tool(name=the_string(value, "name", path), kind=ToolKind.CUSTOM, description=description, path=path)
        case str(kind):
            return Tool(name=kind, kind=ToolKind.HOSTED, path=path)
        case _:
            raise MalformedRequest(f"{path}/type", "must be a string, such as function")


def read_tool_choice(body: Object, unmapped: list[Unmapped]) -> ToolChoice | None:
    """Read the choice; one of a hosted tool is noted, and is none."""
    path = "/tool_choice"
    match body.get("tool_choice"):
        case None:
            return None
        case str(word) if word in _MODES:
            return ToolChoice(mode=_MODES[word], path=path)
        case {"type": "function" | "custom", "name": str(name)}:
            return ToolChoice(mode=ChoiceMode.REQUIRED, names=(name,), path=path)
        case {"type": "allowed_tools", "mode": "auto" | "required" as word, "tools": [*tools]}:
            names = tuple(_allowed(tools, f"{path}/tools", unmapped))
            return ToolChoice(mode=_MODES[word], names=names, path=path) if names else None
        case {"type": str(kind)} if kind not in _NAMED and kind != "allowed_tools":
            unmapped.append(_hosted(kind, path))
            return None
        case _:
            raise MalformedRequest(path, "must be auto, none, required, or name a tool")


def _allowed(tools: list[Any], at: str, unmapped: list[Unmapped]) -> Iterator[str]:
    for tool, path in objects(tools, at):
        kind = the_string(tool, "type", path)
        if kind in _NAMED:
            yield the_string(tool, "name", path)
        else:
            unmapped.append(_hosted(kind, path))


def _lost(path: str, code: str, detail: str) -> Unmapped:
    return Unmapped(path=path, code=code, detail=detail, loss_class=LossClass.HINT)


def _hosted(kind: str, path: str) -> Unmapped:
    what = f"{kind} is a tool that the vendor runs itself"
    return Unmapped(path=path, code="hosted_tool", detail=what, loss_class=LossClass.CONTENT, droppable=True)


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
    """Write a definition. `strict` is always said: left out, this dialect tries it, and others do not."""
    strict = tool.strict is True and caps.strict_tools and tool.schema is not None and is_closed(tool.schema)
    if tool.strict and not strict:
        what = "strict needs a schema whose objects are closed and require all their properties; it is left out"
        losses.hint(tool.path, "strict_dropped", what)
    if tool.cache is not None:
        losses.hint(tool.path, "cache_mark", "a cache mark")
    function: dict[str, object] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    return function | {"parameters": tool.schema, "strict": strict}


def _choice(choice: ToolChoice) -> object:
    match choice.names:
        case ():
            return choice.mode.value
        case (name,) if choice.mode is ChoiceMode.REQUIRED:
            return _named(name)
        case names:
            return {"type": "allowed_tools", "mode": choice.mode.value, "tools": [_named(name) for name in names]}


def _named(name: str) -> dict[str, object]:
    return {"type": "function", "name": name}

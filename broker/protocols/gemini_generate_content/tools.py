"""Tools and the choice among them, read and written."""

from collections.abc import Iterator, Mapping

from broker.domain.caps import Caps
from broker.domain.loss import LossClass
from broker.protocols.canonical.request import ChoiceMode, Request, Tool, ToolChoice, ToolKind, Unmapped
from broker.protocols.gemini_generate_content.openapi import openapi
from broker.protocols.gemini_generate_content.proto_json import Message
from broker.protocols.gemini_generate_content.schema import json_schema
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.portable_tools import portable, portable_choice

JSON_SCHEMA_FIELD = "responseJsonSchema"
_FUNCTION = frozenset(
    {"name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior"}
)
_CONFIG = frozenset({"functionCallingConfig", "retrievalConfig", "includeServerSideToolInvocations"})
_CALLING = frozenset({"mode", "allowedFunctionNames", "streamFunctionCallArguments"})
_MODES = {
    "AUTO": ChoiceMode.AUTO,
    "VALIDATED": ChoiceMode.AUTO,
    "ANY": ChoiceMode.REQUIRED,
    "NONE": ChoiceMode.NONE,
}


def read_tools(body: Message, unmapped: list[Unmapped]) -> tuple[Tool, ...]:
    """Read the definitions; every other member of a tool is one that Google runs. Raises `MalformedRequest`."""
    tools: list[Tool] = []
    for tool in body.messages("tools"):
        tools += [_function(declared, unmapped) for declared in tool.messages("functionDeclarations")]
        tools += [
            Tool(name=name, kind=ToolKind.HOSTED, path=tool.at(name))
            for name, inner in tool.members.items()
            if name != "functionDeclarations" and inner is not None
        ]
    return tuple(tools)


def _function(declared: Message, unmapped: list[Unmapped]) -> Tool:
    unmapped += declared.unknown(_FUNCTION)
    for name in ("response", "responseJsonSchema"):
        unmapped += declared.unsupported(name, "what a tool answers is described to Gemini only", LossClass.SAMPLING)
    if declared.enum("behavior") == "NON_BLOCKING":
        unmapped += declared.unsupported("behavior", "a tool that does not block is Gemini's own", LossClass.SAMPLING)
    subset = declared.object("parameters")
    schema = declared.object("parametersJsonSchema")
    if subset is not None and schema is not None:
        raise MalformedRequest(declared.at("parametersJsonSchema"), "stands beside parameters; a tool has one of them")
    if subset is not None:
        schema = json_schema(subset, declared.at("parameters"))
    return Tool(
        name=declared.the_string("name"),
        description=declared.string("description"),
        schema=schema,
        path=declared.path,
    )


def read_tool_choice(body: Message, unmapped: list[Unmapped]) -> ToolChoice | None:
    """Read the choice; raises `MalformedRequest`."""
    config = body.message("toolConfig")
    if config is None:
        return None
    unmapped += config.unknown(_CONFIG)
    for name in ("retrievalConfig", "includeServerSideToolInvocations"):
        unmapped += config.unsupported(name, "this is for tools that Google runs", LossClass.SAMPLING)
    calling = config.message("functionCallingConfig")
    if calling is None:
        return None
    unmapped += calling.unknown(_CALLING)
    unmapped += calling.unsupported(
        "streamFunctionCallArguments", "an answer is read when it is complete", LossClass.HINT
    )
    mode = calling.enum("mode")
    names = calling.strings("allowedFunctionNames")
    if mode is None:
        return ToolChoice(mode=ChoiceMode.AUTO, names=names, path=calling.path) if names else None
    if mode not in _MODES:
        raise MalformedRequest(calling.at("mode"), f"must be one of {', '.join(_MODES)}")
    if mode == "VALIDATED" and not names:
        unmapped += calling.unsupported("mode", "that arguments are held to their schema", LossClass.HINT)
    return ToolChoice(mode=_MODES[mode], names=names, path=calling.path)


def write_tools(request: Request, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    """Write definitions and choice as members of the body."""
    tools = portable(request.tools, losses)
    if tools:
        yield "tools", [{"functionDeclarations": [_declared(tool, caps, losses) for tool in tools]}]
    if request.parallel_tools is False and tools:
        what = "the model decides how many tools it asks for at once"
        losses.sampling(request.pointer("parallel_tools"), "unsupported_field", what)
    choice = request.tool_choice and portable_choice(request.tool_choice, tools, losses)
    calling = None if choice is None else _calling(choice)
    if calling is not None:
        yield "toolConfig", {"functionCallingConfig": calling}


def _declared(tool: Tool, caps: Caps, losses: Losses) -> dict[str, object]:
    declared: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        declared["description"] = tool.description
    if tool.schema is not None:
        if caps.schema_field == JSON_SCHEMA_FIELD:
            declared["parametersJsonSchema"] = _object_schema(tool.schema)
        else:
            declared.update(_subset(tool, losses))
    if tool.strict:
        losses.hint(tool.path, "strict_dropped", "that arguments are held to their schema is not said of one tool")
    if tool.cache is not None:
        losses.hint(tool.path, "cache_mark", "a cache mark")
    return declared


def _object_schema(schema: Mapping[str, object]) -> Mapping[str, object]:
    """A schema of arguments, which Gemini wants to be said to describe an object; OpenAI takes an empty one."""
    return schema if "type" in schema or "$ref" in schema else {"type": "object", **schema}


def _subset(tool: Tool, losses: Losses) -> dict[str, object]:
    lost: set[str] = set()
    schema = openapi(tool.schema or {}, lost)
    if lost:
        what = f"the schema of {tool.name} says {', '.join(sorted(lost))}, which the target does not know"
        losses.sampling(tool.path, "schema_keyword", what)
    return {"parameters": schema} if schema.get("properties") else {}  # an object without any is refused


def _calling(choice: ToolChoice) -> dict[str, object] | None:
    names = list(choice.names)
    match choice.mode:
        case ChoiceMode.NONE:
            return {"mode": "NONE"}
        case ChoiceMode.REQUIRED:
            return {"mode": "ANY", "allowedFunctionNames": names} if names else {"mode": "ANY"}
        case ChoiceMode.AUTO:  # said by silence: some models fail when it is said aloud
            return {"mode": "VALIDATED", "allowedFunctionNames": names} if names else None

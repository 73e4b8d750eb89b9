"""Tools of the messages dialect: definitions and the choice among them, read and written."""

from dataclasses import dataclass
from typing import Any, assert_never

from broker.domain.caps import Caps
from broker.domain.loss import LossClass
from broker.protocols.anthropic_messages.cache_marks import CacheMarks
from broker.protocols.anthropic_messages.read_messages import cache_of
from broker.protocols.anthropic_messages.schema import conforms
from broker.protocols.canonical.parts import CallPart
from broker.protocols.canonical.request import (
    ChoiceMode,
    Request,
    Tool,
    ToolChoice,
    ToolKind,
    Unmapped,
)
from broker.protocols.fields import Object, an_object, array, flag, objects, string, the_string, unknown
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.portable_tools import portable

CHOICE_PATH = "/tool_choice"
PARALLEL_PATH = f"{CHOICE_PATH}/disable_parallel_tool_use"
_TOOL = frozenset(
    {
        "type",
        "name",
        "description",
        "input_schema",
        "strict",
        "cache_control",
        "allowed_callers",
        "defer_loading",
        "eager_input_streaming",
        "input_examples",
    }
)
_CHOICE = frozenset({"type", "name", "disable_parallel_tool_use"})
_OWN = {
    "eager_input_streaming": (LossClass.HINT, "how a call is streamed"),
    "defer_loading": (LossClass.SAMPLING, "a tool that is found by Anthropic's tool search"),
    "input_examples": (LossClass.SAMPLING, "examples of a tool's arguments"),
}


def read_tools(body: Object, unmapped: list[Unmapped]) -> tuple[Tool, ...]:
    """Read the definitions; raises `MalformedRequest`."""
    return tuple(_tool(tool, path, unmapped) for tool, path in objects(array(body, "tools") or [], "/tools"))


def _tool(tool: dict[str, Any], path: str, unmapped: list[Unmapped]) -> Tool:
    kind = string(tool, "type", path)
    if kind is not None and kind != "custom":
        return Tool(name=kind, kind=ToolKind.HOSTED, path=path)
    unmapped += unknown(tool, _TOOL, path)
    for key, (loss_class, what) in _OWN.items():
        if tool.get(key):
            found = Unmapped(path=f"{path}/{key}", code="unsupported_field", detail=what, loss_class=loss_class)
            unmapped.append(found)
    if tool.get("allowed_callers") not in (None, ["direct"]):
        what = "a tool that is called by a program of Anthropic's code execution"
        at = f"{path}/allowed_callers"
        unmapped.append(Unmapped(path=at, code="unsupported_field", detail=what, loss_class=LossClass.SAMPLING))
    schema = an_object(tool, "input_schema", path)
    if schema is None:
        raise MalformedRequest(f"{path}/input_schema", "is missing")
    return Tool(
        name=the_string(tool, "name", path),
        description=string(tool, "description", path),
        schema=schema,
        strict=flag(tool, "strict", path),
        cache=cache_of(tool, path),
        path=path,
    )


def read_choice(body: Object, unmapped: list[Unmapped]) -> tuple[ToolChoice | None, bool | None]:
    """Read the choice, and whether calls may be made side by side; raises `MalformedRequest`."""
    choice = an_object(body, "tool_choice")
    if choice is None:
        return None, None
    unmapped += unknown(choice, _CHOICE, CHOICE_PATH)
    alone = flag(choice, "disable_parallel_tool_use", CHOICE_PATH)
    parallel = None if alone is None else not alone
    match choice.get("type"):
        case "auto":
            mode, names = ChoiceMode.AUTO, ()
        case "any":
            mode, names = ChoiceMode.REQUIRED, ()
        case "none":
            mode, names = ChoiceMode.NONE, ()
        case "tool":
            name = the_string(choice, "name", CHOICE_PATH)
            return ToolChoice(mode=ChoiceMode.REQUIRED, names=(name,), path=CHOICE_PATH), parallel
        case _:
            raise MalformedRequest(f"{CHOICE_PATH}/type", "must be auto, any, tool or none")
    return ToolChoice(mode=mode, names=names, path=CHOICE_PATH), parallel


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenTools:
    """What a request says of tools."""

    tools: list[dict[str, object]]
    choice: dict[str, object] | None = None

    @property
    def forced(self) -> bool:
        """Whether the model must call one."""
        return self.choice is not None and self.choice["type"] in ("any", "tool")


def write_tools(request: Request, caps: Caps, marks: CacheMarks, losses: Losses) -> WrittenTools:
    """Write the definitions and the choice among them; what cannot be said is noted."""
    choice = request.tool_choice
    kept = list(portable(request.tools, losses))
    if choice is not None and choice.names and choice.mode is not ChoiceMode.NONE:
        some = [tool for tool in kept if tool.name in choice.names]
        if kept and not some:
            losses.content(choice.path, "unknown_tool", "the choice names no tool that is sent", droppable=True)
            choice = None
        elif len(some) < len(kept) and not _is_one(choice):
            losses.converted(choice.path, "tools_left_out", "a choice among some of the tools: only these are sent")
            kept = some
    if not kept:
        if choice is not None:
            _note_lost_choice(choice, losses)
        return _of_history(request, losses)
    tools = [_definition(tool, caps, marks, losses) for tool in kept]
    return WrittenTools(tools=tools, choice=_choice(choice, alone=request.parallel_tools is False))


def _is_one(choice: ToolChoice) -> bool:
    return choice.mode is ChoiceMode.REQUIRED and len(choice.names) == 1


def _note_lost_choice(choice: ToolChoice, losses: Losses) -> None:
    if choice.mode is ChoiceMode.REQUIRED:
        losses.content(choice.path, "choice_without_tools", "a tool must be called, and there is none", droppable=True)
    else:
        losses.converted(choice.path, "choice_without_tools", "a choice without tools says nothing")


def _definition(tool: Tool, caps: Caps, marks: CacheMarks, losses: Losses) -> dict[str, object]:
    written: dict[str, object] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = _input_schema(tool, losses)
    if tool.strict:
        if caps.strict_tools and tool.schema is not None and conforms(tool.schema):
            written["strict"] = True
        else:
            what = "strict needs a model that knows it, closed objects, and no bounds; it is left out"
            losses.hint(tool.path, "strict_dropped", what)
    return marks.put(written, tool.cache, tool.path)


def _input_schema(tool: Tool, losses: Losses) -> dict[str, object]:
    """The schema of the arguments: always of an object, which Anthropic wants to be said."""
    schema = dict(tool.schema or {})
    if schema.setdefault("type", "object") != "object":
        losses.content(tool.path, "schema_keyword", "the arguments of a tool are an object, and the schema says others")
    for keyword in ("oneOf", "anyOf", "allOf"):
        if keyword in schema:
            what = f"Anthropic takes no {keyword} at the top of the schema of a tool"
            losses.sampling(tool.path, "schema_keyword", what)
            del schema[keyword]
    return schema


def _choice(choice: ToolChoice | None, *, alone: bool) -> dict[str, object] | None:
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if alone else None
    written: dict[str, object]
    match choice.mode:
        case ChoiceMode.NONE:
            return {"type": "none"}  # no calls, so none side by side either: the flag is not allowed here
        case ChoiceMode.AUTO:
            written = {"type": "auto"}
        case ChoiceMode.REQUIRED if _is_one(choice):
            written = {"type": "tool", "name": choice.names[0]}
        case ChoiceMode.REQUIRED:
            written = {"type": "any"}
        case _:
            assert_never(choice.mode)
    if alone:
        written["disable_parallel_tool_use"] = True
    return written


def _of_history(request: Request, losses: Losses) -> WrittenTools:
    """Define the tools that were called before, where none are defined: Anthropic refuses calls without definitions.

    None of them may be called again, as the producer did not offer any.
    """
    calls: dict[str, CallPart] = {}
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, CallPart):
                calls.setdefault(part.name, part)
    if not calls:
        return WrittenTools(tools=[])
    first = next(iter(calls.values()))
    what = "calls without definitions of their tools: these are made of their names, and may not be called again"
    losses.converted(first.path, "tools_synthesised", what)
    tools: list[dict[str, object]] = [{"name": name, "input_schema": {"type": "object"}} for name in calls]
    return WrittenTools(tools=tools, choice={"type": "none"})

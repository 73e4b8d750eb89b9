"""Tools that any target can be told of: those that the producer runs, with arguments that are an object."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from broker.protocols.canonical.request import ChoiceMode, Tool, ToolChoice, ToolKind
from broker.protocols.losses import Losses


def portable(tools: tuple[Tool, ...], losses: Losses) -> tuple[Tool, ...]:
    """The tools that a target can be told of; the others are noted."""
    if all(tool.kind is ToolKind.FUNCTION for tool in tools):
        return tools
    return tuple(_portable(tools, losses))


def _portable(tools: tuple[Tool, ...], losses: Losses) -> Iterator[Tool]:
    for tool in tools:
        match tool.kind:
            case ToolKind.FUNCTION:
                yield tool
            case ToolKind.CUSTOM:
                what = f"the tool {tool.name} takes free text, which cannot be translated"
                losses.content(tool.path, "custom_tool", what, droppable=True)
            case ToolKind.HOSTED:
                what = f"{tool.name} is a tool that the vendor runs itself"
                losses.content(tool.path, "hosted_tool", what, droppable=True)
            case _:
                assert_never(tool.kind)


def portable_choice(choice: ToolChoice, tools: Sequence[Tool], losses: Losses) -> ToolChoice | None:
    """The choice as far as it is one among `tools`, which are those that are sent; what it loses is noted."""
    if not tools:
        losses.converted(choice.path, "choice_without_tools", "a choice without tools says nothing")
        return None
    if not choice.names:
        return choice
    if choice.mode is ChoiceMode.NONE:  # nothing is asked for, so it does not matter of which
        return replace(choice, names=())
    sent = {tool.name for tool in tools}
    names = tuple(name for name in choice.names if name in sent)
    if len(names) == len(choice.names):
        return choice
    losses.sampling(choice.path, "choice_of_no_tool", "a tool is chosen that is not defined")
    return replace(choice, names=names) if names else None

"""Tools that any target can be told of: those that the producer runs, with arguments that are an object."""

from collections.abc import Iterator
from typing import assert_never

from broker.protocols.canonical.request import Tool, ToolKind
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

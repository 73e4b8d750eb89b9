"""Prepares a conversation for a target that writes another dialect than its source.

What comes out holds for every writer: thoughts, empty texts, and blocks that only the source's vendor understands are
gone; names and ids are legal, and no two calls share an id; neighbouring turns of one speaker are one; each call is
answered in the turn behind it, results first and in the order of the calls; no operator speaks in mid-conversation
unless the target takes that; and the last word is the user's, unless the target continues an assistant's.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import is_

from broker.domain.caps import Caps
from broker.protocols.canonical.parts import (
    CallPart,
    MediaPart,
    OpaquePart,
    Part,
    ReasoningPart,
    ResultPart,
    TextPart,
)
from broker.protocols.canonical.request import Request, Role, ToolKind, Turn
from broker.protocols.losses import Losses
from broker.protocols.names import another, mapped

UNANSWERED = "The tool was not called."
"""What a call is answered with that its producer left open, where the batch lets losses pass."""


_FOREIGN: tuple[type, ...] = (ReasoningPart, OpaquePart)
_PAIRED: tuple[type, ...] = (CallPart, ResultPart)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request that any writer can write."""

    request: Request
    names: Mapping[str, str]
    """Tools whose names had to change: what they are called at the target, to what the producer calls them."""


def prepared(
    request: Request, *, caps: Caps, losses: Losses, tool_names: re.Pattern[str], call_ids: re.Pattern[str]
) -> Prepared:
    """Prepare a request; what is lost on the way is noted."""
    kinds = {type(part) for turn in request.turns for part in turn.parts}
    turns = list(request.turns)
    if not kinds.isdisjoint(_FOREIGN):
        turns = [_portable(turn, losses) for turn in turns]
    turns = list(_saying(turns, losses))
    if not caps.mid_system and any(turn.role is Role.SYSTEM for turn in turns):
        request, turns = _hoisted(request, turns, losses)
    turns = _merged(turns)
    if not kinds.isdisjoint(_PAIRED):
        turns = list(_paired(turns, losses))
        turns = _with_ids(turns, call_ids)
    _check_ends(turns, caps, losses)
    # Made anew only where something changed: most requests come as they must be, and a copy costs more than the rest
    unchanged = len(turns) == len(request.turns) and all(map(is_, turns, request.turns))
    return _with_names(request if unchanged else replace(request, turns=tuple(turns)), losses, tool_names)


def _portable(turn: Turn, losses: Losses) -> Turn:
    """Leave out what only the source's own vendor can read."""
    kept: list[Part] = []
    for part in turn.parts:
        match part:
            case ReasoningPart(path=path):
                losses.hint(path, "reasoning_dropped", "thoughts are of use to the model they came from only")
            case OpaquePart(path=path, kind=kind):
                what = f"a block of type {kind} is understood by its own vendor only"
                # What a vendor's tools did may go with the tools; what a user shows may not
                losses.content(path, "foreign_block", what, droppable=turn.role is Role.ASSISTANT)
            case _:
                kept.append(part)
    return turn if len(kept) == len(turn.parts) else replace(turn, parts=tuple(kept))


def _saying(turns: Iterable[Turn], losses: Losses) -> Iterator[Turn]:
    """Leave out texts that are empty, and turns that say nothing."""
    for turn in turns:
        empty = [part for part in turn.parts if type(part) is TextPart and not part.text]
        for part in empty:
            if part.cache is not None:
                losses.hint(part.path, "cache_mark", "a cache mark behind an empty text")
        kept = tuple(part for part in turn.parts if part not in empty) if empty else turn.parts
        if kept:
            yield replace(turn, parts=kept) if empty else turn
        elif turn.role is Role.USER:
            losses.hint(turn.path, "blank_text", "a message of the user that says nothing is left out")


def _hoisted(request: Request, turns: Sequence[Turn], losses: Losses) -> tuple[Request, list[Turn]]:
    """Let operators speak before the conversation only."""
    system: list[TextPart | MediaPart] = list(request.system)
    rest = []
    for turn in turns:
        if turn.role is not Role.SYSTEM:
            rest.append(turn)
            continue
        losses.converted(turn.path, "system_moved", "an operator's message in mid-conversation moves to its beginning")
        system.extend(part for part in turn.parts if isinstance(part, TextPart | MediaPart))
    return replace(request, system=tuple(system)), rest


def _merged(turns: Sequence[Turn]) -> list[Turn]:
    """Make neighbouring turns of one speaker one."""
    result: list[Turn] = []
    for turn in turns:
        last = result[-1] if result else None
        if last is not None and last.role is turn.role:
            result[-1] = replace(last, parts=last.parts + turn.parts)
        else:
            result.append(turn)
    return result


def _paired(turns: Sequence[Turn], losses: Losses) -> Iterator[Turn]:
    """Put the results of a turn's calls first into the turn behind it, in the order of the calls."""
    waiting: list[CallPart] = []
    for turn in turns:
        if turn.role is Role.ASSISTANT:
            if waiting:
                yield from _left_open(waiting, turn.path, losses)
            waiting = [part for part in turn.parts if isinstance(part, CallPart)]
            yield turn
            continue
        results = [part for part in turn.parts if isinstance(part, ResultPart)]
        if not waiting and not results:
            yield turn
            continue
        if turn.role is Role.SYSTEM:
            yield from _left_open(waiting, turn.path, losses)
            waiting = []
            yield turn
            continue
        answers = _answers(waiting, results, losses)
        waiting = []
        rest = tuple(part for part in turn.parts if not isinstance(part, ResultPart))
        if answers or rest:
            yield replace(turn, parts=(*answers, *rest))
    if waiting:
        yield from _left_open(waiting, turns[-1].path, losses)


def _left_open(calls: Sequence[CallPart], path: str, losses: Losses) -> Iterator[Turn]:
    parts = tuple(_answers(calls, (), losses))
    if parts:
        yield Turn(role=Role.USER, parts=parts, path=path)


def _answers(calls: Sequence[CallPart], results: Sequence[ResultPart], losses: Losses) -> list[ResultPart]:
    """One result per call, in the order of the calls; results of other calls cannot be placed."""
    found: dict[str, ResultPart] = {}
    for result in results:
        if result.call_id in found:
            losses.content(result.path, "second_result", "a call has one result, and this is its second")
        found.setdefault(result.call_id, result)
    answers = []
    for call in calls:
        answer = found.pop(call.id, None)
        if answer is None:
            what = f"the call of {call.name} has no result before the next message"
            losses.content(call.path, "unanswered_call", what, droppable=True)
            text = TextPart(text=UNANSWERED, path=call.path)
            answer = ResultPart(call_id=call.id, parts=(text,), name=call.name, is_error=True, path=call.path)
        # A result may be labelled otherwise in its source, and some targets pair by name
        answers.append(answer if answer.name == call.name else replace(answer, name=call.name))
    for result in found.values():
        losses.content(result.path, "unasked_result", "no call in the turn before has this id")
    return answers


def _with_ids(turns: Sequence[Turn], legal: re.Pattern[str]) -> list[Turn]:
    """Give calls and their results ids that the target takes, and none of them twice.

    Servers that number the calls of each answer anew let ids come again in a later turn.
    """
    asked = [part.id for turn in turns for part in turn.parts if isinstance(part, CallPart)]
    ids = mapped(asked, legal)
    if not ids and len(set(asked)) == len(asked):
        return list(turns)
    taken = {ids.get(old, old) for old in asked}
    given: set[str] = set()
    waiting: deque[str] = deque()

    def renamed(part: Part) -> Part:
        match part:
            case CallPart(id=old):
                new = ids.get(old, old)
                if new in given:
                    new = another(new, taken)
                    taken.add(new)
                given.add(new)
                waiting.append(new)
                return replace(part, id=new)
            case ResultPart():  # each call has one by now, in the order of the calls
                return replace(part, call_id=waiting.popleft())
            case _:
                return part

    return [replace(turn, parts=tuple(map(renamed, turn.parts))) for turn in turns]


def _check_ends(turns: Sequence[Turn], caps: Caps, losses: Losses) -> None:
    if not any(turn.role is not Role.SYSTEM for turn in turns):
        losses.content("", "empty_conversation", "the request has no message that could be answered")
        return
    last = turns[-1]
    if last.role is Role.ASSISTANT and not caps.prefill:
        what = "the last message is the assistant's, and the target does not continue one"
        losses.content(last.path, "prefill", what)


def _with_names(request: Request, losses: Losses, legal: re.Pattern[str]) -> Prepared:
    """Give tools names that the target takes, wherever they are named."""
    names = mapped(list(_tool_names(request)), legal)
    if not names:
        return Prepared(request=request, names={})
    for tool in request.tools:
        if tool.name in names:
            what = f"the tool is called {names[tool.name]} at the target, which does not take its name"
            losses.converted(tool.path, "tool_renamed", what)

    def renamed(part: Part) -> Part:
        if isinstance(part, CallPart):
            return replace(part, name=names.get(part.name, part.name))
        if isinstance(part, ResultPart) and part.name is not None:
            return replace(part, name=names.get(part.name, part.name))
        return part

    choice = request.tool_choice
    changed = replace(
        request,
        tools=tuple(replace(tool, name=names.get(tool.name, tool.name)) for tool in request.tools),
        tool_choice=choice and replace(choice, names=tuple(names.get(name, name) for name in choice.names)),
        turns=tuple(replace(turn, parts=tuple(map(renamed, turn.parts))) for turn in request.turns),
    )
    return Prepared(request=changed, names={new: old for old, new in names.items()})


def _tool_names(request: Request) -> Iterable[str]:
    for tool in request.tools:
        if tool.kind is not ToolKind.HOSTED:
            yield tool.name
    if request.tool_choice is not None:
        yield from request.tool_choice.names
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, CallPart):
                yield part.name

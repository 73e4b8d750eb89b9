"""Writes the conversation: who may speak when, and in which blocks.

Source: Anthropic API reference "Create a Message", guides "Tool use" and "Mid-conversation system messages".
"""

from collections.abc import Iterator, Sequence
from typing import assert_never

from broker.domain.caps import Caps
from broker.protocols.anthropic_messages.cache_marks import CacheMarks
from broker.protocols.anthropic_messages.media import write_media
from broker.protocols.anthropic_messages.version import takes_old
from broker.protocols.canonical.parts import (
    CallPart,
    MediaKind,
    MediaPart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    ResultPart,
    TextPart,
)
from broker.protocols.canonical.request import Role, Turn
from broker.protocols.losses import Losses
from broker.protocols.tool_arguments import arguments_object

Block = dict[str, object]


def write_system(parts: Sequence[Part], marks: CacheMarks, losses: Losses) -> list[Block]:
    """Write what operators say as blocks of text."""
    blocks: list[Block] = []
    for part in parts:
        if isinstance(part, TextPart):
            blocks += _text(part, marks, losses)
        else:
            losses.content(part.path, "unsupported_part", "an operator's message holds text only")
    return blocks


def moved_system(turns: Sequence[Turn], losses: Losses) -> tuple[list[Turn], list[Part]]:
    """Take out the operator's messages that stand where Anthropic takes none; they are to join the first.

    It takes one behind a user's message, and then the assistant must speak, or nobody.
    """
    kept: list[Turn] = []
    moved: list[Part] = []
    for index, turn in enumerate(turns):
        if turn.role is Role.SYSTEM:
            after = turns[index + 1].role if index + 1 < len(turns) else Role.ASSISTANT
            if not kept or kept[-1].role is not Role.USER or after is not Role.ASSISTANT:
                what = "Anthropic takes no operator's message here, so it moves to the beginning"
                losses.converted(turn.path, "system_moved", what)
                moved += turn.parts
                continue
        kept.append(turn)
    return kept, moved


def write_messages(turns: Sequence[Turn], caps: Caps, marks: CacheMarks, losses: Losses) -> list[dict[str, object]]:
    """Write the turns; those of one speaker become one message."""
    messages: list[dict[str, object]] = []
    said: list[tuple[Role, list[Block]]] = []
    for turn in turns:
        blocks = [block for part in turn.parts for block in _blocks(part, turn.role, caps, marks, losses)]
        if not blocks:
            _note_blank(turn, losses)
        elif said and said[-1][0] is turn.role:
            said[-1][1].extend(blocks)
        else:
            said.append((turn.role, blocks))
    if said and said[-1][0] is Role.ASSISTANT:
        _check_prefill(turns, said[-1][1], losses)
    for role, blocks in said:
        messages.append({"role": role.value, "content": plain(blocks)})
    return messages


def plain(blocks: list[Block]) -> object:
    """One text without a mark as a string, which means the same; else the blocks."""
    if len(blocks) == 1 and blocks[0]["type"] == "text" and len(blocks[0]) == 2:
        return blocks[0]["text"]
    return blocks


def _blocks(part: Part, role: Role, caps: Caps, marks: CacheMarks, losses: Losses) -> Iterator[Block]:
    match part:
        case TextPart():
            yield from _text(part, marks, losses)
        case RefusalPart(text=text):
            if text and not text.isspace():
                yield {"type": "text", "text": text}
        case MediaPart():
            yield from _media(part, role, caps, marks, losses)
        case CallPart():
            yield _call(part, marks, losses)
        case ResultPart():
            yield _result(part, caps, marks, losses)
        case ReasoningPart() | OpaquePart():  # left out before
            losses.content(part.path, "unsupported_part", "a block that its own vendor understands only")
        case _:
            assert_never(part)


def _text(part: TextPart, marks: CacheMarks, losses: Losses) -> Iterator[Block]:
    if not part.text or part.text.isspace():
        if part.text or part.cache is not None:
            losses.hint(part.path, "blank_text", "Anthropic takes no blank text")
        return
    yield marks.put({"type": "text", "text": part.text}, part.cache, part.path)


def _media(part: MediaPart, role: Role, caps: Caps, marks: CacheMarks, losses: Losses) -> Iterator[Block]:
    if role is not Role.USER and not (part.kind is MediaKind.DOCUMENT and takes_old(caps)):
        losses.content(part.path, "unsupported_part", f"the target takes no {part.kind} from the {role}")
        return
    block = write_media(part, caps, losses)
    if block is not None:
        yield marks.put(block, part.cache, part.path)


def _call(part: CallPart, marks: CacheMarks, losses: Losses) -> Block:
    if part.signature is not None:
        losses.hint(part.path, "signature_dropped", "the seal of a thought is of use to its own vendor only")
    block: Block = {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments_object(part, losses)}
    return marks.put(block, part.cache, part.path)


def _result(result: ResultPart, caps: Caps, marks: CacheMarks, losses: Losses) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": result.call_id}
    inner: list[Block] = []
    for part in result.parts:
        if isinstance(part, TextPart):
            inner += _text(part, marks, losses)
        else:
            inner += _media(part, Role.USER, caps, marks, losses)
    if inner:
        block["content"] = plain(inner)
    if result.is_error:
        block["is_error"] = True
    return marks.put(block, result.cache, result.path)


def _note_blank(turn: Turn, losses: Losses) -> None:
    """An assistant that said nothing is no loss, a question without words is."""
    if turn.role is Role.USER:
        losses.content(turn.path, "blank_text", "Anthropic takes no message that is blank", droppable=True)
    else:
        losses.hint(turn.path, "blank_text", "Anthropic takes no message that is blank")


def _check_prefill(turns: Sequence[Turn], blocks: list[Block], losses: Losses) -> None:
    """What is continued may not end with white space, and may not be left over from blank messages behind it."""
    if turns[-1].role is not Role.ASSISTANT:
        losses.content(turns[-1].path, "prefill", "nothing is left of the message behind the assistant's last")
        return
    text = blocks[-1].get("text")
    if isinstance(text, str) and text != text.rstrip():
        what = "white space at the end of what is to be continued is left out"
        losses.converted(turns[-1].path, "trailing_space", what)
        blocks[-1]["text"] = text.rstrip()

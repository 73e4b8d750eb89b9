"""Listens to a conversation, and checks that roles, calls and results are in order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import orjson
from pydantic import JsonValue

from workers.provider_sim.anthropic import models
from workers.provider_sim.anthropic.blocks import Block, check_block
from workers.provider_sim.anthropic.errors import refused
from workers.provider_sim.prompts import Conversation, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Messages of one role in a row, which count as one."""

    role: str
    place: str
    blocks: list[Block]


def hear(messages: JsonValue, conversation: Conversation, *, model: str, has_tools: bool, is_new: bool) -> None:
    """Listen to all messages; `is_new`: under the newer version of the API. Raises `Refused`."""
    if messages is None:
        raise refused("messages: Field required")
    if not isinstance(messages, list):
        raise refused("messages: Input should be a valid list")
    if not messages:
        raise refused("messages: at least one message is required")
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        turn = _turn(message, index, model=model, is_new=is_new, is_last=index == len(messages) - 1)
        if turns and turns[-1].role == turn.role and turn.role != "system":
            turns[-1].blocks.extend(turn.blocks)
        else:
            turns.append(turn)
    _check_roles(turns, model)
    _check_pairs([turn for turn in turns if turn.role != "system"])
    uses_tools = any(block["type"] in {"tool_use", "tool_result"} for turn in turns for block in turn.blocks)
    if uses_tools and not has_tools:
        raise refused("Requests which include `tool_use` or `tool_result` blocks must define tools")
    for turn in turns:
        _hear_turn(turn, conversation)


def _turn(message: JsonValue, index: int, *, model: str, is_new: bool, is_last: bool) -> Turn:
    place = f"messages.{index}"
    if not isinstance(message, dict):
        raise refused(f"{place}: Input should be a valid dictionary")
    if unknown := message.keys() - {"role", "content"}:
        raise refused(f"{place}.{min(unknown)}: Extra inputs are not permitted")
    role, content = message.get("role"), message.get("content")
    if role == "system" and not models.takes_system_turns(model):
        raise refused(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" '
            "as an input message role."
        )
    if role not in ("user", "assistant", "system"):
        raise refused(f"{place}.role: Input should be 'user' or 'assistant'")
    if isinstance(content, str):
        blocks: Sequence[JsonValue] = [{"type": "text", "text": content}] if content else []
    elif isinstance(content, list):
        blocks = content
    else:
        raise refused(f"{place}.content: Field required")
    if not blocks and not (role == "assistant" and is_last):
        raise refused(
            f"{place}: all messages must have non-empty content except for the optional final assistant message"
        )
    checked = [
        check_block(block, f"{place}.content.{nth}", str(role), is_new=is_new) for nth, block in enumerate(blocks)
    ]
    return Turn(role=str(role), place=place, blocks=checked)


def _check_roles(turns: Sequence[Turn], model: str) -> None:
    if turns[0].role != "user":
        raise refused('messages: first message must use the "user" role')
    for before, turn in pairwise(turns):
        if turn.role == "system" and before.role != "user":
            raise refused(f"{turn.place}: a system message must directly follow a user message")
    last = turns[-1]
    if last.role != "assistant":
        return
    if not models.takes_prefill(model):
        raise refused(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    text = last.blocks[-1].get("text") if last.blocks else None
    if isinstance(text, str) and text != text.rstrip():
        raise refused("messages: final assistant content cannot end with trailing whitespace")


def _check_pairs(turns: Sequence[Turn]) -> None:
    """Check that every call has its one result at the start of the turn after it, and every result its call."""
    seen: set[str] = set()
    for index, turn in enumerate(turns):
        before = _ids(turns[index - 1].blocks, "tool_use", "id") if index else []
        results = _ids(turn.blocks, "tool_result", "tool_use_id")
        for nth, block in enumerate(turn.blocks):
            if block["type"] == "tool_result" and block["tool_use_id"] not in before:
                raise refused(
                    f"{turn.place}.content.{nth}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{block['tool_use_id']}. Each `tool_result` block must have a corresponding `tool_use` block in "
                    "the previous message."
                )
        if len(set(results)) < len(results):
            twice = next(one for one in results if results.count(one) > 1)
            raise refused(
                f"{turn.place}: each tool_use must have a single result. Found multiple `tool_result` blocks with id: "
                f"{twice}"
            )
        leading = [block for block in turn.blocks[: len(results)] if block["type"] == "tool_result"]
        if before and (len(leading) < len(before)):
            missing = ", ".join(one for one in before if one not in results) or ", ".join(before)
            raise _unanswered(turns[index - 1].place, missing)
        uses = _ids(turn.blocks, "tool_use", "id")
        if seen.intersection(uses) or len(set(uses)) < len(uses):
            raise refused("messages: `tool_use` ids must be unique")
        seen.update(uses)
        if uses and index == len(turns) - 1:
            raise _unanswered(turn.place, ", ".join(uses))


def _unanswered(place: str, ids: str) -> Exception:
    return refused(
        f"{place}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. Each `tool_use` "
        "block must have a corresponding `tool_result` block in the next message."
    )


def _ids(blocks: Iterable[Block], kind: str, name: str) -> list[str]:
    return [str(block[name]) for block in blocks if block["type"] == kind]


def _hear_turn(turn: Turn, conversation: Conversation) -> None:
    others: list[JsonValue] = []
    size = 0
    for block in turn.blocks:
        match block["type"]:
            case "tool_result":
                conversation.hear_result(text_of(block.get("content"))[1])
            case "tool_use":
                size += len(orjson.dumps(block)) // 4
            case "thinking":
                size += text_of(block.get("thinking"))[1]
            case _:
                others.append(block)
    text, tokens = text_of(others)
    if others or turn.role != "user":
        conversation.hear(turn.role, text, tokens + size)

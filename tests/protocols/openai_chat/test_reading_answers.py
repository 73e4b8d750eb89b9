"""What servers say in answers that OpenAI itself would not."""

from typing import Any

import orjson
import pytest

from broker.protocols import Answer, parse_response
from broker.protocols.canonical.parts import CallPart, Part, ReasoningPart, TextPart


def parts_of(**message: Any) -> tuple[Part, ...]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None} | message}
    answer = parse_response("openai-chat", 200, {}, orjson.dumps({"model": "m", "choices": [choice]}))
    assert isinstance(answer, Answer)
    return answer.outputs[0].parts


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["a", "b"], ["a", "b"]),
        ([None, None], ["call_0", "call_1"]),
        ([None, "call_0"], ["call_0_", "call_0"]),
        (["call_1", ""], ["call_1", "call_1_"]),
        (["a", "a", "a"], ["a", "call_1", "call_2"]),
        (["call_1", "call_1"], ["call_1", "call_1_"]),
    ],
)
def test_no_two_calls_of_an_answer_share_an_id(given: list[Any], read: list[str]) -> None:
    function = {"name": "look_up", "arguments": "{}"}
    parts = parts_of(tool_calls=[{"id": call_id, "type": "function", "function": function} for call_id in given])
    assert [part.id for part in parts if isinstance(part, CallPart)] == read


@pytest.mark.parametrize("kind", ["reasoning", "reasoning_text", "thought"])
def test_thoughts_among_the_parts_are_no_text(kind: str) -> None:
    parts = parts_of(content=[{"type": kind, "text": "hm"}, {"type": "text", "text": "Yes."}])
    assert parts == (ReasoningPart(text="hm"), TextPart(text="Yes."))

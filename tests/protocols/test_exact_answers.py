"""Arguments that a provider answers with: the producer gets the numbers that the model wrote."""

import json
from typing import Any

import pytest

from broker.domain.dialect import Dialect
from broker.protocols import parse_response, render_response
from broker.protocols.canonical.answer import Answer
from broker.protocols.exact_json import written

NUMBERS = (
    "12345678901234567890123",
    "-98765432109876543210",
    "0.1000000000000000055511151231257827",
    "1.10",
    "1e400",
    "-0",
    "1E+2",
)


def message(arguments: str) -> str:
    call = f'{{"type":"tool_use","id":"toolu_1","name":"f","input":{arguments}}}'
    return (
        '{"id":"msg_1","type":"message","role":"assistant","model":"m","stop_reason":"tool_use","stop_sequence":null,'
        f'"content":[{call}],"usage":{{"input_tokens":1,"output_tokens":2}}}}'
    )


def generated(arguments: str) -> str:
    content = f'{{"role":"model","parts":[{{"functionCall":{{"name":"f","args":{arguments}}}}}]}}'
    return (
        f'{{"candidates":[{{"content":{content},"finishReason":"STOP"}}],'
        '"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"totalTokenCount":3}}'
    )


ANSWERS = ((Dialect.ANTHROPIC_MESSAGES, message), (Dialect.GEMINI_GENERATE_CONTENT, generated))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("dialect", [Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI_GENERATE_CONTENT])
@pytest.mark.parametrize(("protocol", "body"), ANSWERS)
def test_no_number_of_a_call_becomes_another(protocol: Dialect, body: Any, dialect: Dialect, number: str) -> None:
    answer = parse_response(protocol, 200, {}, body(f'{{"a":{number}}}').encode())
    assert isinstance(answer, Answer)
    told = written(render_response(answer, dialect=dialect)).decode()
    arguments = f'{{"a":{number}}}'
    assert (json.dumps(arguments) if dialect is Dialect.OPENAI_CHAT else arguments) in told

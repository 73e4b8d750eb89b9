"""The same dialect on both sides changes the model, and not another byte; other dialects change no number."""

import json
from typing import Any, cast

import pytest

from broker.domain.dialect import Dialect
from broker.protocols import translate_raw, translate_request
from broker.protocols.exact_json import exact, written
from broker.protocols.tool_arguments import read_arguments, written_arguments

OLD, NEW = b"old-model", "new/model:v1"
NAMING = tuple(dialect for dialect in Dialect if dialect is not Dialect.GEMINI_GENERATE_CONTENT)

PIECES: dict[str, bytes] = {
    "odd decimals": rb'"a":1.10,"b":1.0,"c":0.10000000000000000001,"d":-0.0,"e":1E5,"f":1e+05',
    "numbers that no double holds": rb'"a":1e400,"b":-1e400,"c":1e-400,"d":5e-324',
    "numbers of thirty digits": rb'"a":123456789012345678901234567890,"b":-123456789012345678901234567890',
    "minus zero": rb'"a":-0,"b":[-0,-0.0,-0e0]',
    "escapes": rb'"a":"\u0041\/\b\f\n\r\t\"\\","\u0062":"\u00fc","c":"\ud83d\ude00"',
    "half a surrogate pair": rb'"a":"\ud83d","b":"\ude00","\ud800":1',
    "text beyond ASCII": '"a":"Grüße, 世界 🌍\u2028"'.encode(),
    "a model in a text": rb'"a":"{\"model\":\"old-model\"}","b":"\"model\":\"x\""',
    "a model further inside": rb'"a":{"model":"old-model","b":[{"model":"old-model"}]},"c":["model","old-model"]',
    "unknown fields": rb'"field_of_the_future":{"x":[null,true,false,{}]},"":0,"x-y.z":[]',
    "white space": b'"a" :\t[ 1 ,\r\n2 ]\n ,  "b"\t:{ } ',
    "empty things": rb'"a":{},"b":[],"c":"","d":null',
    "one name twice": rb'"a":1,"a":2',
    "names like model": rb'"Model":"x","model_":"y","models":"z","mode":"w"',
}


def body(piece: bytes, model: bytes, order: int) -> bytes:
    """The model before the piece, behind it, or between two of it."""
    named = b'"model" : "' + model + b'"'
    members = [[named, piece], [piece, named], [piece, named, b'"last":0']][order]
    return b" { " + b" , ".join(members) + b" }\n"


@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("dialect", NAMING)
def test_all_but_the_model_stays_as_it_is(dialect: Dialect, piece: bytes, order: int) -> None:
    sent = translate_raw(body(piece, OLD, order), source=dialect, target=dialect, model=NEW)
    assert sent == body(piece, NEW.encode(), order)


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_a_gemini_body_that_names_no_model_stays_as_it_is(piece: bytes) -> None:
    gemini = Dialect.GEMINI_GENERATE_CONTENT
    raw = b"{" + piece + b',"contents":[]}'
    assert translate_raw(raw, source=gemini, target=gemini, model="gemini-x") == raw


def test_a_gemini_body_names_its_model_as_gemini_does() -> None:
    gemini = Dialect.GEMINI_GENERATE_CONTENT
    raw = rb'{"a":1.10, "model":"models/old", "requests":[{"model":"models/old","x":-0},{"content":{"model":"y"}}]}'
    sent = translate_raw(raw, source=gemini, target=gemini, model="new")
    wanted = rb'{"a":1.10, "model":"models/new", "requests":[{"model":"models/new","x":-0},{"content":{"model":"y"}}]}'
    assert sent == wanted


@pytest.mark.parametrize("name", [rb'"model"', rb'"\u006dodel"', rb'"m\u006Fde\u006c"'])
def test_a_model_is_found_however_its_name_is_spelled(name: bytes) -> None:
    raw = b'{"a":{' + name + b":1}," + name + b':"old","z":1.0}'
    sent = translate_raw(raw, source="openai-chat", target="openai-chat", model="new")
    assert sent == b'{"a":{' + name + b":1}," + name + b':"new","z":1.0}'


def test_a_model_that_is_named_twice_is_another_nowhere() -> None:
    """Which of them a server reads is its own business: none of them may be the producer's."""
    raw = rb'{"model":"a","x":1.0,"model":"b"}'
    sent = translate_raw(raw, source="openai-chat", target="openai-chat", model="new")
    assert json.loads(sent, object_pairs_hook=list) == [("model", "new"), ("x", 1.0), ("model", "new")]
    assert b'"x":1.0' in sent


def test_a_new_name_is_escaped() -> None:
    sent = translate_raw(b'{"model":"old"}', source="openai-chat", target="openai-chat", model='a"b\\c')
    assert json.loads(sent) == {"model": 'a"b\\c'}


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"a":1}', b'{"model"', b'"model"'])
def test_what_is_no_object_with_a_model_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        translate_raw(raw, source="openai-chat", target="openai-chat", model="new")


def test_another_dialect_keeps_no_bytes() -> None:
    with pytest.raises(ValueError, match="equals"):
        translate_raw(b'{"model":"x"}', source="openai-chat", target="anthropic-messages", model="new")


NUMBERS = (
    '{"price":1.10,"id":123456789012345678901234567890,"big":1e400,'
    '"small":1E-7,"zero":-0,"none":-0.0,"one":1.0,"plain":7}'
)
GENERATING = tuple(dialect for dialect in Dialect if dialect.generates)


def a_call(dialect: Dialect) -> bytes:
    """A conversation with one call, whose arguments and schema are `NUMBERS`."""
    text = json.dumps(NUMBERS)
    call: dict[Dialect, str] = {
        Dialect.OPENAI_CHAT: '{"model":"m","messages":[{"role":"user","content":"go"},'
        f'{{"role":"assistant","content":null,"tool_calls":[{{"id":"c","type":"function","function":{{"name":"f","arguments":{text}}}}}]}},'
        '{"role":"tool","tool_call_id":"c","content":"ok"}],'
        f'"tools":[{{"type":"function","function":{{"name":"f","parameters":{{"type":"object","default":{NUMBERS}}}}}}}]}}',
        Dialect.OPENAI_RESPONSES: '{"model":"m","input":[{"role":"user","content":"go"},'
        f'{{"type":"function_call","call_id":"c","name":"f","arguments":{text}}},'
        '{"type":"function_call_output","call_id":"c","output":"ok"}],'
        f'"tools":[{{"type":"function","name":"f","parameters":{{"type":"object","default":{NUMBERS}}},"strict":false}}]}}',
        Dialect.ANTHROPIC_MESSAGES: '{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"go"},'
        f'{{"role":"assistant","content":[{{"type":"tool_use","id":"c","name":"f","input":{NUMBERS}}}]}},'
        '{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"ok"}]}],'
        f'"tools":[{{"name":"f","input_schema":{{"type":"object","default":{NUMBERS}}}}}]}}',
        Dialect.GEMINI_GENERATE_CONTENT: '{"contents":[{"role":"user","parts":[{"text":"go"}]},'
        f'{{"role":"model","parts":[{{"functionCall":{{"id":"c","name":"f","args":{NUMBERS}}}}}]}},'
        '{"role":"user","parts":[{"functionResponse":{"id":"c","name":"f","response":{"output":"ok"}}}]}],'
        '"tools":[{"functionDeclarations":[{"name":"f",'
        f'"parametersJsonSchema":{{"type":"object","default":{NUMBERS}}}}}]}}]}}',
    }
    return call[dialect].encode()


@pytest.mark.parametrize("target", GENERATING)
@pytest.mark.parametrize("source", GENERATING)
def test_arguments_and_schemas_keep_the_spelling_of_their_numbers(source: Dialect, target: Dialect) -> None:
    given = cast("dict[str, Any]", exact(a_call(source)))
    sent = written(translate_request(given, source=source, target=target, model="m", on_loss="drop").body).decode()
    assert f'"default":{NUMBERS}' in sent
    assert NUMBERS in sent.replace(f'"default":{NUMBERS}', "") or json.dumps(NUMBERS) in sent


@pytest.mark.parametrize(
    "number",
    ["-0", "1.10", "1e400", "-1e-400", "1E5", "0.10", "123456789012345678901", "-12345678901234567", "-0.0", "7"],
)
def test_each_odd_number_keeps_its_spelling_also_where_it_is_alone(number: str) -> None:
    """One that is not noticed goes through a double, or an integer, which spell it otherwise."""
    for text in (f'{{"a":{number}}}', f'{{"a":[{number}]}}', f'{{"a":[1,{number}]}}', f'{{"a": {{"b":\n{number}}}}}'):
        read = read_arguments(text)
        assert read is not None
        assert written_arguments(read) == text.replace(" ", "").replace("\n", "")

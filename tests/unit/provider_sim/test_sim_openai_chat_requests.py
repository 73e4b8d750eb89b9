import orjson
import pytest
from pydantic import JsonValue

from workers.provider_sim.call import EmbeddingCall, Refused, TextCall
from workers.provider_sim.openai import errors
from workers.provider_sim.openai.chat_requests import read_chat as read_chat_as_asked
from workers.provider_sim.openai.embeddings import read_embeddings as read_embeddings_as_asked
from workers.provider_sim.vendor import model_in, read_object

Body = dict[str, JsonValue]


def read_chat(body: Body) -> TextCall:
    return read_chat_as_asked(model_in(body, errors), body, {})


def read_embeddings(body: Body, dimensions: int) -> EmbeddingCall:
    return read_embeddings_as_asked(model_in(body, errors), body, dimensions)


def a_chat(**fields: JsonValue) -> dict[str, JsonValue]:
    return {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}


def refusal(raised: pytest.ExceptionInfo[Refused]) -> dict[str, JsonValue]:
    assert raised.value.reply.status == 400
    error: dict[str, JsonValue] = orjson.loads(raised.value.reply.body)["error"]
    return error


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b'{"model": NaN}', b"\xff"])
def test_a_body_that_is_no_json_object_gets_the_providers_400(raw: bytes) -> None:
    with pytest.raises(Refused) as raised:
        read_object(raw, errors)
    assert "could not parse the JSON body" in str(refusal(raised)["message"])


@pytest.mark.parametrize("raw", [b"{}", b'{"model": ""}', b'{"model": 3}'])
def test_a_body_needs_a_model(raw: bytes) -> None:
    with pytest.raises(Refused) as raised:
        model_in(read_object(raw, errors), errors)
    assert refusal(raised)["param"] == "model"


def test_input_tokens_grow_with_text_messages_images_and_tools() -> None:
    plain = read_chat(a_chat()).input_tokens
    image: JsonValue = [{"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "image_url"}]}]
    assert read_chat(a_chat(messages=image)).input_tokens > plain
    assert read_chat(a_chat(tools=[{"type": "function", "function": {"name": "f"}}])).input_tokens > plain


def test_max_completion_tokens_goes_before_max_tokens() -> None:
    assert read_chat(a_chat(max_tokens=5, max_completion_tokens=7)).max_output_tokens == 7
    assert read_chat(a_chat(max_tokens=5)).max_output_tokens == 5
    assert read_chat(a_chat(max_tokens=None)).max_output_tokens is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0].role"),
        ({"messages": [{"content": "no role"}]}, "messages[0].role"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"n": 129}, "n"),
        ({"stream": True}, "stream"),
    ],
)
def test_a_wrong_chat_parameter_is_named(fields: dict[str, JsonValue], param: str) -> None:
    with pytest.raises(Refused) as raised:
        read_chat(a_chat(**fields))
    assert refusal(raised)["param"] == param


@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        ("one", ("one",)),
        (["one", "two"], ("one", "two")),
        ([1, 2, 3], ("1,2,3",)),
        ([[1, 2], [3]], ("1,2", "3")),
    ],
)
def test_every_form_of_embedding_input_is_read(value: JsonValue, inputs: tuple[str, ...]) -> None:
    assert read_embeddings({"model": "m", "input": value}, 8).inputs == inputs


@pytest.mark.parametrize("value", [None, "", [], [""], {}, 3.5, ["a", 1], [[]], [True]])
def test_a_wrong_embedding_input_is_refused(value: JsonValue) -> None:
    with pytest.raises(Refused) as raised:
        read_embeddings({"model": "m", "input": value}, 8)
    assert refusal(raised)["param"] == "input"

"""Answers with status 200 that are not what was asked for, as real servers give them: none ends as a success."""

import json

import pytest

from tests.real.conftest import Started
from tests.real.draining import EMBEDDINGS, Drained, chat, finish_of, text_of
from tests.real.servers import MODEL, Kind

WORDS = "some words "
FREE = {"type": "object", "properties": {"why": {"type": "string", "maxLength": 60}}, "required": ["why"]}


def test_json_with_control_characters_in_it_is_no_success(started: Started, drained: Drained) -> None:
    """The grammar of llama-cpp-python lets a text hold them."""
    drained.use(started(Kind.PYTHON))
    wanted = {"type": "json_object", "schema": FREE}
    bodies = {
        f"row-{seed}": chat("judge", max_tokens=300, temperature=1.5, min_p=0, top_k=0, top_p=1, seed=seed,
                            response_format=wanted)
        for seed in range(12)
    }  # fmt: skip
    assert drained.drain(bodies).code == 1
    good = drained.bodies()
    for body in good.values():
        if finish_of(body) == "stop":
            json.loads(text_of(body))
    doubted = [call for call in drained.attempts() if call["state"] != "ok"]
    assert {call["error_class"] for call in doubted} == {"malformed_answer"}
    assert all(call["input_tokens"] for call in doubted), "they were generated, and may have to be paid for"
    assert len(good) < 12


def test_texts_that_were_cut_before_they_were_embedded_are_no_success(started: Started, drained: Drained) -> None:
    drained.use(started(Kind.PYTHON, embeddings=True))
    assert drained.drain({"short": {"input": WORDS * 36}, "long": {"input": WORDS * 545}}, EMBEDDINGS).code == 1
    assert list(drained.bodies()) == ["short"]
    (doubted,) = [call for call in drained.attempts() if call["state"] != "ok"]
    assert (doubted["error_class"], doubted["number"]) == ("too_large", 1)


def test_a_schema_that_a_responses_api_forgets_is_missed(started: Started, drained: Drained) -> None:
    drained.use(started(Kind.LLAMA_SERVER), protocol="openai-responses")
    wanted = {"type": "json_schema", "json_schema": {"name": "why", "schema": FREE}}
    assert drained.drain({"row": chat("judge", response_format=wanted)}).code == 1
    assert {call["error_class"] for call in drained.attempts()} == {"malformed_answer"}


@pytest.mark.parametrize("protocol", ["openai-responses", "anthropic-messages"])
def test_rows_of_chat_are_drained_through_other_protocols(protocol: str, started: Started, drained: Drained) -> None:
    server = started(Kind.LLAMA_SERVER)
    drained.use(server, protocol=protocol, caps="sampling = true")
    bodies = {f"row-{number}": chat(f"question {number}", max_tokens=200) for number in range(20)}
    done = drained.drain(bodies)
    assert done.code == 0, done.err
    answers = drained.bodies()
    for custom_id, body in bodies.items():
        told, answer = server.ask({"model": MODEL, **body}), answers[custom_id]
        assert answer["object"] == "chat.completion"
        assert text_of(answer) == text_of(told)
        for count in ("prompt_tokens", "completion_tokens"):
            assert answer["usage"][count] == told["usage"][count]


def test_several_answers_are_asked_for_one_by_one_where_a_call_gives_one(started: Started, drained: Drained) -> None:
    server = started(Kind.LLAMA_SERVER)
    drained.use(server, protocol="anthropic-messages", caps="sampling = true")
    body = chat("x", n=3, max_tokens=5)
    done = drained.drain({"row": body})
    assert done.code == 0, done.err
    (answer,) = drained.bodies().values()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    one = server.ask({"model": MODEL, **body, "n": 1})
    assert [choice["message"]["content"] for choice in answer["choices"]] == [text_of(one)] * 3
    usage = done.summary()["usage"]
    assert usage["output_tokens"] == 3 * one["usage"]["completion_tokens"]
    assert usage["input_tokens"] == 3 * one["usage"]["prompt_tokens"]
    assert len(drained.attempts()) == 3

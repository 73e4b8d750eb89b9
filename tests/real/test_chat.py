"""Chat batches, drained through real servers by the real command."""

import json
from typing import Any

import pytest

from tests.real.conftest import Started
from tests.real.draining import EMBEDDINGS, Drained, chat, finish_of, text_of
from tests.real.servers import CONTEXT, MODEL, Kind, Server

ROWS = 120
LABEL = {"type": "string", "enum": ["positive", "negative"]}
SCORE = {"type": "integer"}
WHY: dict[str, Any] = {"type": "string", "maxLength": 20}


def said(body: dict[str, Any]) -> tuple[str, str, int, int]:
    usage = body["usage"]
    return text_of(body), finish_of(body), usage["prompt_tokens"], usage["completion_tokens"]


def test_every_row_gets_what_the_server_says_to_its_own_prompt(server: Server, drained: Drained) -> None:
    bodies = {f"row-{number}": chat(f"question {number}: {number * 7919}") for number in range(ROWS)}
    drained.use(server)
    done = drained.drain(bodies)
    assert done.code == 0, done.err
    told = {custom_id: said(server.ask({"model": MODEL, **body})) for custom_id, body in bodies.items()}
    assert len(set(told.values())) > ROWS / 2, "answers that are all the same would prove nothing"
    assert {custom_id: said(body) for custom_id, body in drained.bodies().items()} == told


def test_the_ledger_has_the_usage_that_the_server_reported(server: Server, drained: Drained) -> None:
    drained.use(server)
    bodies = {f"row-{number}": chat("word " * number, max_tokens=3 + number) for number in range(20)}
    done = drained.drain(bodies)
    assert done.code == 0, done.err
    reported = [drained.bodies()[custom_id]["usage"] for custom_id in bodies]
    attempts = drained.attempts()
    assert [attempt["state"] for attempt in attempts] == ["ok"] * 20
    assert [(attempt["input_tokens"], attempt["output_tokens"]) for attempt in attempts] == [
        (usage["prompt_tokens"], usage["completion_tokens"]) for usage in reported
    ]
    cached = [usage.get("prompt_tokens_details", {}).get("cached_tokens") for usage in reported]
    assert [attempt["cache_read_tokens"] for attempt in attempts] == cached
    assert {attempt["usage_source"] for attempt in attempts} == {"reported"}
    assert {(attempt["provider"], attempt["model"], attempt["cost"]) for attempt in attempts} == {
        ("llama.cpp", MODEL, 0)
    }
    total = done.summary()["usage"]
    assert total["input_tokens"] == sum(usage["prompt_tokens"] for usage in reported)
    assert total["output_tokens"] == sum(usage["completion_tokens"] for usage in reported)


def test_a_stop_sequence_ends_the_answer_before_it(server: Server, drained: Drained) -> None:
    whole = text_of(server.ask({"model": MODEL, **chat("stop me")}))
    stop = whole.split()[3]
    drained.use(server)
    done = drained.drain({"free": chat("stop me"), "stopped": chat("stop me", stop=[stop])})
    assert done.code == 0, done.err
    answers = drained.bodies()
    assert text_of(answers["free"]) == whole
    assert text_of(answers["stopped"]) == whole[: whole.index(stop)]
    assert finish_of(answers["stopped"]) == "stop"


def test_an_answer_ends_at_its_most_tokens_and_says_so(server: Server, drained: Drained) -> None:
    drained.use(server)
    done = drained.drain({f"row-{most}": chat("go on", max_tokens=most) for most in (1, 3, 5)})
    assert done.code == 0, done.err
    for most in (1, 3, 5):
        body = drained.bodies()[f"row-{most}"]
        assert (finish_of(body), body["usage"]["completion_tokens"]) == ("length", most)


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def verdicts_of(drained: Drained, server: Server, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask for twelve answers of this form, each by chance."""
    drained.use(server)
    done = drained.drain(
        {
            f"row-{seed}": chat("judge", max_tokens=300, temperature=1, seed=seed, response_format=wanted)
            for seed in range(12)
        }
    )
    assert done.code == 0, done.err
    assert len(drained.bodies()) == 12
    return [json.loads(text_of(body)) for body in drained.bodies().values()]


def test_answers_meet_the_schema(started: Started, drained: Drained) -> None:
    whole = schema(label=LABEL, score=SCORE, why=WHY)
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": whole}}
    verdicts = verdicts_of(drained, started(Kind.LLAMA_SERVER), wanted)
    for verdict in verdicts:
        assert list(verdict) == ["label", "score", "why"]
        assert verdict["label"] in LABEL["enum"]
        assert type(verdict["score"]) is int
        assert len(verdict["why"]) <= WHY["maxLength"]
    assert len({str(verdict) for verdict in verdicts}) > 1


def test_answers_meet_the_schema_where_it_has_a_form_of_its_own(started: Started, drained: Drained) -> None:
    """llama-cpp-python refuses `json_schema`; and its free texts may hold control characters, which are no JSON."""
    wanted = {"type": "json_object", "schema": schema(label=LABEL, score=SCORE)}
    verdicts = verdicts_of(drained, started(Kind.PYTHON), wanted)
    for verdict in verdicts:
        assert list(verdict) == ["label", "score"]
        assert verdict["label"] in LABEL["enum"]
        assert type(verdict["score"]) is int


def test_an_overlong_prompt_fails_at_once_and_alone(server: Server, drained: Drained) -> None:
    drained.use(server)
    good = {f"row-{number}": chat(f"short {number}") for number in range(10)}
    done = drained.drain({**good, "overlong": chat("long " * CONTEXT)})
    assert done.code == 1
    assert sorted(drained.bodies()) == sorted(good)
    (call,) = [attempt for attempt in drained.attempts() if attempt["state"] != "ok"]
    assert (call["state"], call["error_class"], call["status"], call["number"]) == ("refused", "too_large", 400, 1)
    assert str(CONTEXT) in call["error"]


def test_a_request_that_makes_no_sense_fails_alone(server: Server, drained: Drained) -> None:
    drained.use(server)
    good = {f"row-{number}": chat(f"short {number}") for number in range(10)}
    done = drained.drain({**good, "nonsense": chat("x", temperature="hot")})
    assert done.code == 1
    assert sorted(drained.bodies()) == sorted(good)
    (refused,) = [(call["error_class"], call["status"]) for call in drained.attempts() if call["state"] != "ok"]
    # llama-cpp-python calls it a fault of its own
    assert refused == ("invalid_request", 400 if server.kind is Kind.LLAMA_SERVER else 500)


@pytest.mark.parametrize("texts", [["a"], ["a", "bb", "ccc"]], ids=len)
def test_embeddings(texts: list[str], kind: Kind, started: Started, drained: Drained) -> None:
    server = started(kind, embeddings=True)
    drained.use(server)
    done = drained.drain({"row": {"input": texts}}, EMBEDDINGS)
    assert done.code == 0, done.err
    (body,) = drained.bodies().values()
    told = server.ask({"model": MODEL, "input": texts}, EMBEDDINGS)
    assert [entry["index"] for entry in body["data"]] == list(range(len(texts)))
    assert [entry["embedding"] for entry in body["data"]] == [entry["embedding"] for entry in told["data"]]
    (attempt,) = drained.attempts()
    assert (attempt["input_tokens"], attempt["output_tokens"]) == (told["usage"]["prompt_tokens"], 0)

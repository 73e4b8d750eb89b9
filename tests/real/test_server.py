"""What becomes of a real server while it is used: keys, a death in mid-batch, and what `accounts check` says of it."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.command_line import ended, until
from tests.real.conftest import Started
from tests.real.draining import Drained, chat
from tests.real.servers import SLOTS, Kind, Server, running

ROWS = 200
NEVER_END = {"logit_bias": {"2": -100}}


def test_a_check_says_that_it_answers(server: Server, drained: Drained) -> None:
    drained.use(server)
    done = drained.run("accounts", "check")
    assert done.code == 0, done.out + done.err
    assert "my-model answered" in done.out


@pytest.mark.parametrize(
    ("key", "words"), [("sesame", "my-model answered"), ("wrong", "the key is refused"), (None, "it wants a key")]
)
def test_a_server_with_a_key_wants_it(
    kind: Kind, key: str | None, words: str, started: Started, drained: Drained
) -> None:
    drained.use(started(kind, key="sesame"), key=key)
    done = drained.run("accounts", "check")
    assert (done.code == 0) is (key == "sesame")
    assert words in done.out + done.err
    for secret in ("sesame", "wrong"):
        assert secret not in done.out + done.err


def test_a_chat_server_is_no_embeddings_server(server: Server, drained: Drained) -> None:
    drained.use(server)
    done = drained.drain({"row": {"input": "a"}}, "/v1/embeddings")
    assert done.code == 1
    calls = [(call["state"], call["status"]) for call in drained.attempts()]
    if server.kind is Kind.LLAMA_SERVER:
        assert calls == [("failed", 501)]
    else:  # it says no more than that something went wrong
        assert {status for _, status in calls} == {500}


@pytest.mark.timeout(180)
def test_a_server_that_dies_and_comes_back_loses_no_row(tiny_model: Path, drained: Drained) -> None:
    drained.write({f"row-{number}": chat(f"question {number}", max_tokens=300, **NEVER_END) for number in range(ROWS)})
    with running(Kind.LLAMA_SERVER, tiny_model) as first:
        drained.use(first)
        with drained.started("run", "jobs.jsonl", "--output", "jobs.out.jsonl") as process:
            until(lambda: len(drained.lines("jobs.out.jsonl")) >= 10)
            os.kill(first.pid, signal.SIGKILL)
            answered = len(drained.lines("jobs.out.jsonl"))
            with running(Kind.LLAMA_SERVER, tiny_model, port=first.port):
                done = ended(process)
    assert done.code == 0, done.err
    assert answered < ROWS, "it died too late to prove anything"
    assert len(drained.bodies()) == ROWS
    states = [call["state"] for call in drained.attempts()]
    assert states.count("ok") == ROWS
    assert states.count("unknown") <= SLOTS
    assert len(states) > ROWS

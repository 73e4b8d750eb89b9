"""What our codecs say and read, judged by a server that speaks three dialects: chat, responses and messages."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from broker.domain.attempt import CallError, ErrorClass
from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.protocols import Answer, ProviderError, parse_response, render_response, translate_request
from tests.real.conftest import Started
from tests.real.draining import chat, finish_of, text_of
from tests.real.servers import CONTEXT, MODEL, Kind, Server

CAPS = Caps(output_limit_field="max_tokens")
CHAT, RESPONSES, MESSAGES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES


@pytest.fixture
def server(started: Started) -> Server:
    return started(Kind.LLAMA_SERVER)


def through(server: Server, target: Dialect, body: dict[str, Any]) -> Answer | CallError:
    """Translate a chat body, call the server, and read what it says."""
    sent = translate_request(body, source=CHAT, target=target, model=MODEL, caps=CAPS)
    assert sent.warnings == ()
    url = server.url + (sent.path if sent.path.startswith("/v1/") else f"/v1{sent.path}")
    headers = {"Content-Type": "application/json", **sent.headers}
    request = urllib.request.Request(url, json.dumps(sent.body).encode(), headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # loopback
            status, answered = response.status, response.read()
    except urllib.error.HTTPError as refused:
        status, answered = refused.code, refused.read()
    return parse_response(target, status, {}, answered, request=sent)


def rendered(server: Server, target: Dialect, body: dict[str, Any]) -> dict[str, Any]:
    """Give the answer as a producer of chat completions gets it."""
    answer = through(server, target, body)
    assert isinstance(answer, Answer), answer
    return dict(render_response(answer, dialect=CHAT, request=body))


def conversation(text: str, target: Dialect) -> dict[str, Any]:
    body = chat(text, model=MODEL, max_tokens=200)
    turns = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "an answer"}]
    if target is RESPONSES:  # it takes no assistant item without a type, which OpenAI lets one leave out
        turns = []
    return {**body, "messages": [{"role": "system", "content": "be brief"}, *turns, *body["messages"]]}


def ending_by_itself(server: Server, target: Dialect) -> tuple[dict[str, Any], dict[str, Any]]:
    """Find a conversation that the model ends, and what it says."""
    for number in range(50):
        body = conversation(f"question {number}", target)
        told = server.ask(body)
        if finish_of(told) == "stop":
            return body, told
    raise AssertionError("the model never ends")


@pytest.mark.parametrize("target", [CHAT, RESPONSES, MESSAGES])
def test_the_same_conversation_has_the_same_answer_in_every_dialect(server: Server, target: Dialect) -> None:
    body, told = ending_by_itself(server, target)
    answer = rendered(server, target, body)
    assert text_of(answer) == text_of(told)
    assert finish_of(answer) == "stop"
    for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert answer["usage"][count] == told["usage"][count]


@pytest.mark.parametrize("target", [CHAT, MESSAGES])  # its responses say `completed` also of what was cut
def test_a_cut_answer_says_so(server: Server, target: Dialect) -> None:
    answer = rendered(server, target, {**conversation("go on", target), "max_tokens": 3})
    assert (finish_of(answer), answer["usage"]["completion_tokens"]) == ("length", 3)


def test_a_stop_sequence_is_carried_over(server: Server) -> None:
    body, told = ending_by_itself(server, MESSAGES)
    stop = text_of(told).split()[2]
    answer = rendered(server, MESSAGES, {**body, "stop": [stop]})
    assert text_of(answer) == text_of(told)[: text_of(told).index(stop)]
    assert finish_of(answer) == "stop"


@pytest.mark.parametrize("target", [CHAT, RESPONSES])
def test_an_overlong_prompt_is_too_large(server: Server, target: Dialect) -> None:
    error = through(server, target, conversation("long " * CONTEXT, target))
    assert isinstance(error, ProviderError)
    assert error.error_class is ErrorClass.TOO_LARGE

"""What docs/how-to/self-hosted.md warns of: answers with status 200 that are not what was asked for.

Penstock is not asked here. When a newer server does better, the page should say so.
"""

from typing import Any
from urllib.error import HTTPError

import pytest

from tests.real.conftest import Started
from tests.real.draining import EMBEDDINGS, chat, finish_of, text_of
from tests.real.servers import CONTEXT, MODEL, Kind, Server

VERDICT = {"type": "object", "properties": {"label": {"enum": ["positive", "negative"]}}, "required": ["label"]}
TOOL = {"type": "function", "function": {"name": "judge", "parameters": VERDICT}}


@pytest.fixture
def llama_server(started: Started) -> Server:
    return started(Kind.LLAMA_SERVER)


@pytest.fixture
def python_server(started: Started) -> Server:
    return started(Kind.PYTHON)


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, **chat(text, **more)}


def test_nobody_looks_at_the_name_of_the_model(server: Server) -> None:
    assert text_of(server.ask({**asked("x"), "model": "unheard-of"})) == text_of(server.ask(asked("x")))


def test_the_window_is_divided_by_the_slots(llama_server: Server) -> None:
    facts = llama_server.look("/props")
    assert (facts["default_generation_settings"]["n_ctx"], facts["total_slots"]) == (CONTEXT, 4)


def test_two_choices_cost_as_much_as_one(llama_server: Server) -> None:
    answer = llama_server.ask(asked("x", n=2, max_tokens=5, logit_bias={"2": -100}))
    assert len(answer["choices"]) == 2
    assert answer["usage"]["completion_tokens"] == 5


def test_tools_are_left_out_where_the_template_does_not_know_them(llama_server: Server) -> None:
    plain, tooled = asked("x"), asked("x", tools=[TOOL], tool_choice="required")
    assert llama_server.look("/props")["chat_template_caps"]["supports_tools"] is False
    assert llama_server.ask(tooled)["usage"]["prompt_tokens"] == llama_server.ask(plain)["usage"]["prompt_tokens"]
    assert "tool_calls" not in llama_server.ask(tooled)["choices"][0]["message"]


def test_a_response_is_completed_though_it_was_cut_off_and_meets_no_schema(llama_server: Server) -> None:
    wanted = {"type": "json_schema", "name": "verdict", "schema": VERDICT}
    body = {"model": MODEL, "input": "x", "temperature": 0, "max_output_tokens": 5, "text": {"format": wanted}}
    answer = llama_server.ask({**body, "logit_bias": {"2": -100}}, "/v1/responses")
    assert (answer["status"], answer["usage"]["output_tokens"]) == ("completed", 5)
    assert "{" not in answer["output"][0]["content"][0]["text"]


def test_the_python_server_ignores_n_and_the_newer_name_of_the_limit(python_server: Server) -> None:
    answer = python_server.ask(asked("go on", n=2, max_tokens=None, max_completion_tokens=3, logit_bias={"2": -100}))
    assert len(answer["choices"]) == 1
    assert finish_of(answer) == "length"
    assert answer["usage"]["completion_tokens"] > 3


def test_the_python_server_refuses_json_schema_as_a_fault_of_its_own(python_server: Server) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT}}
    with pytest.raises(HTTPError) as refused:
        python_server.ask(asked("x", response_format=wanted))
    with refused.value as response:
        assert response.code == 500


def test_the_python_server_cuts_what_it_embeds(started: Started) -> None:
    server = started(Kind.PYTHON, embeddings=True)
    long, longer = ({"model": MODEL, "input": "x" * length} for length in (1000, 2000))
    assert server.ask(long, EMBEDDINGS)["usage"] == server.ask(longer, EMBEDDINGS)["usage"]

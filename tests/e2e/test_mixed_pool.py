"""One batch of OpenAI chat lines over accounts of three vendors: nobody can tell from the answers who gave them."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from broker.testing.simulator import Simulator, simulator
from tests.e2e.command_line import Folder
from workers.provider_sim.answers import expected_arguments, expected_json, expected_text
from workers.provider_sim.prompts import prompt_of

ROWS = 3_000
KEYS = {"openai": "/v1", "anthropic": "", "gemini": ""}
LABEL: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "why": {"type": "string"}},
    "required": ["label", "why"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOL = {"type": "function", "function": {"name": "4cast", "description": "Now.", "parameters": WEATHER}}
JSON_LABEL = {"type": "json_schema", "json_schema": {"name": "label", "schema": LABEL, "strict": True}}


def body_of(number: int) -> dict[str, Any]:
    """A request of one of six kinds; each has a prompt of its own."""
    said = {"role": "user", "content": f"question {number}"}
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, said]}
    body["max_completion_tokens"] = 200
    match number % 6:
        case 0:
            return body
        case 1:
            return body | {"response_format": JSON_LABEL}
        case 2:
            return body | {"tools": [TOOL], "tool_choice": "required"}
        case 3:
            return body | {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "4cast"}}}
        case 4:
            said["content"] = f"question {number}: use the tool twice"
            return body | {"tools": [TOOL]}
        case _:
            calls = [
                {
                    "id": f"call {n}",
                    "type": "function",
                    "function": {"name": "4cast", "arguments": '{"place":"x"}'},
                }
                for n in (1, 2)
            ]
            results = [{"role": "tool", "tool_call_id": f"call {n}", "content": f"{n} degrees"} for n in (2, 1)]
            body["messages"] += [{"role": "assistant", "content": None, "tool_calls": calls}, *results]
            return body | {"tools": [TOOL]}


def check(number: int, answer: Mapping[str, Any]) -> None:
    """The answer to this row, as OpenAI would have given it."""
    prompt = prompt_of(body_of(number))
    (choice,) = answer["choices"]
    message = choice["message"]
    calls = [
        (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or []
    ]
    match number % 6:
        case 0 | 5:
            assert (message["content"], calls) == (expected_text(prompt), [])
            assert choice["finish_reason"] == "stop"
        case 1:
            assert json.loads(message["content"]) == expected_json(prompt, LABEL)
        case 2 | 3:
            assert calls == [("4cast", expected_arguments(prompt, WEATHER))]
            assert choice["finish_reason"] in ("tool_calls", "stop")  # OpenAI says `stop` where a call was forced
        case _:
            assert calls == [("4cast", expected_arguments(prompt, WEATHER, nth)) for nth in (0, 1)]
            ids = [call["id"] for call in message["tool_calls"]]
            assert len(set(ids)) == 2


CONFIG = """
[[accounts]]
name = "account-{provider}"
provider = "{provider}"
base_url = "{url}{path}"
api_key = "env:KEY_{provider}"
models = ["m"]
worker_concurrency = 16
prices = {{ m = {{ input = 1.0, output = 2.0 }} }}
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Any:
    keys = "".join(f'[[keys]]\nname = "{name}"\n' for name in KEYS)
    usage = "[usage]\ncached_share = 0.2\nreasoning_share = 0.1\n"
    latency = "[latency]\nfirst_token_s = 0.005\n"
    with simulator(tmp_path_factory.mktemp("sim"), usage + latency + keys) as sim:
        yield sim


def test_three_protocols_answer_as_one(tmp_path: Path, provider: Simulator) -> None:
    folder = Folder(tmp_path)
    folder.keys = {f"KEY_{name}": name for name in KEYS}
    sections = [CONFIG.format(provider=name, url=provider.url, path=path) for name, path in KEYS.items()]
    (tmp_path / "penstock.toml").write_text("".join(sections))
    (tmp_path / "jobs.jsonl").write_text(
        "".join(
            json.dumps({"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions", "body": body_of(n)})
            + "\n"
            for n in range(ROWS)
        )
    )
    ended = folder.run("run", "jobs.jsonl", "--output", "out.jsonl")
    assert ended.code == 0, ended.err
    lines = folder.lines()
    assert len(lines) == ROWS
    assert len({line["custom_id"] for line in lines}) == ROWS
    for line in lines:
        assert line["response"]["status_code"] == 200
        check(int(line["custom_id"]), line["response"]["body"])
    assert booked(tmp_path / "penstock.db") == paid(provider)
    assert min(row["calls"] for row in paid(provider).values()) > ROWS // 20  # each of them has worked


def paid(provider: Simulator) -> dict[str, Counter[str]]:
    """What the provider was paid for, by key."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for call in provider.ledger():
        sums[call["key"]] += Counter(
            calls=1,
            input=call["input_tokens"],
            cached=call["cached_tokens"],
            output=call["output_tokens"],
            reasoning=call["reasoning_tokens"],
        )
    return dict(sums)


def booked(database: Path) -> dict[str, Counter[str]]:
    """What our ledger says of each account."""
    rows = sqlite3.connect(database).execute(
        "select account, count(*), sum(input_tokens), sum(cache_read_tokens), sum(output_tokens), sum(reasoning_tokens)"
        " from attempts where state = 'ok' group by account"
    )
    return {
        account.removeprefix("account-"): Counter(
            calls=calls, input=given, cached=cached, output=out, reasoning=thought
        )
        for account, calls, given, cached, out, thought in rows
    }

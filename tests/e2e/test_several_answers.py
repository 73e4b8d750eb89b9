"""Requests for several answers, at targets that give one to a call; and requests that a target cannot say."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.testing.simulator import Simulator, simulator
from tests.e2e.command_line import Folder
from workers.provider_sim.answers import expected_text

ROWS = 60
ACCOUNT = """
[[accounts]]
name = "{provider}-1"
provider = "{provider}"
base_url = "{url}{path}"
api_key = "env:KEY_{provider}"
models = ["m"]
limits = {{ concurrency = 8 }}
"""
PATHS = {"openai": "/v1", "anthropic": "", "gemini": ""}


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Simulator]:
    keys = "".join(f'[[keys]]\nname = "{name}"\n' for name in PATHS)
    with simulator(tmp_path, f"[latency]\nfirst_token_s = 0.01\n{keys}") as sim:
        yield sim


def folder_with(tmp_path: Path, provider: Simulator, *names: str, **more: Any) -> Folder:
    """A folder with accounts of these providers, and rows with whatever more than a prompt."""
    folder = Folder(tmp_path)
    folder.keys = {f"KEY_{name}": name for name in names}
    sections = [ACCOUNT.format(provider=name, url=provider.url, path=PATHS[name]) for name in names]
    (tmp_path / "penstock.toml").write_text("".join(sections))
    rows = [
        {"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions", "body": _body(n) | more}
        for n in range(ROWS)
    ]
    (tmp_path / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _body(number: int) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": f"question {number}"}], "max_tokens": 50}


def rows_of(folder: Folder, statement: str) -> list[tuple[Any, ...]]:
    return sqlite3.connect(folder.path / "penstock.db").execute(statement).fetchall()


@pytest.mark.parametrize("names", [("anthropic",), ("anthropic", "openai"), ("anthropic", "gemini")])
def test_several_answers_come_as_one(tmp_path: Path, provider: Simulator, names: tuple[str, ...]) -> None:
    folder = folder_with(tmp_path, provider, *names, n=3)
    assert folder.run("run", "jobs.jsonl", "--output", "out.jsonl").code == 0
    for line in folder.lines():
        choices = line["response"]["body"]["choices"]
        assert [choice["index"] for choice in choices] == [0, 1, 2]
        assert {choice["message"]["content"] for choice in choices} == {expected_text(f"question {line['custom_id']}")}
    paid = provider.ledger()
    ((given, generated),) = rows_of(folder, "select sum(input_tokens), sum(output_tokens) from results")
    assert given == sum(call["input_tokens"] for call in paid)
    assert generated == sum(call["output_tokens"] for call in paid)
    alone = Counter(call["key"] for call in paid)
    assert alone["anthropic"] > 0
    assert rows_of(folder, "select count(*) from attempts where state = 'ok'") == [(len(paid),)]
    if names == ("anthropic",):
        assert len(paid) == 3 * ROWS
    assert rows_of(folder, "select count(*) from part_answers") == [(0,)]


def test_a_server_of_the_same_dialect_may_give_one_answer_to_a_call(tmp_path: Path, provider: Simulator) -> None:
    folder = folder_with(tmp_path, provider, "openai", n=3)
    config = tmp_path / "penstock.toml"
    config.write_text(config.read_text() + '[accounts.caps."m"]\nchoices = false\n')
    assert folder.run("run", "jobs.jsonl", "--output", "out.jsonl").code == 0
    for line in folder.lines():
        assert len(line["response"]["body"]["choices"]) == 3
        assert [loss["code"] for loss in line["warnings"]] == ["fan_out"]
    assert len(provider.ledger()) == 3 * ROWS


def test_what_one_protocol_cannot_say_another_account_answers(tmp_path: Path, provider: Simulator) -> None:
    folder = folder_with(tmp_path, provider, "anthropic", "openai", seed=7)
    assert folder.run("run", "jobs.jsonl", "--output", "out.jsonl").code == 0
    assert folder.answers() == {str(n): expected_text(f"question {n}") for n in range(ROWS)}
    assert {call["key"] for call in provider.ledger()} == {"openai"}
    refused = rows_of(
        folder, "select distinct account, state, sent_at from attempts where error_class = 'untranslatable'"
    )
    assert set(refused) <= {("anthropic-1", "refused", None)}


def test_what_nobody_can_say_costs_nothing(tmp_path: Path, provider: Simulator) -> None:
    folder = folder_with(tmp_path, provider, "anthropic", "gemini", logit_bias={"5": 1})
    ended = folder.run("run", "jobs.jsonl", "--output", "out.jsonl")
    assert ended.code == 1
    assert provider.ledger() == []
    lines = folder.lines()
    assert len(lines) == ROWS
    for line in lines:
        assert line["response"] is None
        assert line["error"]["code"] == "untranslatable"
        assert "/logit_bias" in line["error"]["message"]


def test_losses_are_recorded_where_they_may_be_dropped(tmp_path: Path, provider: Simulator) -> None:
    folder = folder_with(tmp_path, provider, "anthropic", seed=7)
    assert folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--on-loss", "drop").code == 0
    for line in folder.lines():
        assert [(loss["path"], loss["class"]) for loss in line["warnings"]] == [("/seed", "sampling")]

"""What the check says of servers that people run themselves, as simulated ones tell it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from broker.catalog.lookup import providers
from broker.cli.account_check import Finding, check_account
from broker.cli.accounts import accounts_app
from broker.domain.account import Limits
from broker.domain.clock import SystemClock
from broker.testing.simulator import simulator
from tests.engines import an_account
from workers.provider_sim.config import SimConfig
from workers.provider_sim.server import ProviderSim


def checked(engine: str, *, provider: str | None = None, **changes: Any) -> Finding:
    async def run() -> Finding:
        facts = {"engine": engine, "context_window": 8192, "slots": 4, "version": "1.2"}
        config = {"models": ["small", "large"], "self_hosted": facts}
        async with ProviderSim(SimConfig.model_validate(config)) as sim:
            name = provider or engine
            account = an_account(
                sim.base_url,
                **(
                    {
                        "provider": name,
                        "facts": providers()[name].facts,
                        "models": {"m": "small"},
                        "headers": {"authorization": "Bearer sim"},
                    }
                    | changes
                ),
            )
            return await check_account(account, SystemClock())

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("vllm", "vllm 1.2, serves large, small, context window 8,192 tokens"),
        ("llama.cpp", "llama.cpp 1.2, serves large, small, context window 8,192 tokens, 4 slots"),
        ("ollama", "ollama 1.2, serves large, small, context window 8,192 tokens"),
        ("tgi", "tgi 1.2, serves small, context window 8,192 tokens, 4 slots"),
        ("sglang", "sglang 1.2, serves large, small, context window 8,192 tokens, 4 slots"),
    ],
)
def test_a_server_is_told_with_its_window_and_slots(engine: str, says: str) -> None:
    finding = checked(engine)
    assert finding.ok
    assert finding.words.partition("; ")[2] == says


def test_a_model_that_is_not_there_is_told_with_those_that_are() -> None:
    finding = checked("vllm", models={"m": "medium"})
    assert not finding.ok
    assert finding.words.startswith("no model medium at http://127.0.0.1")
    assert finding.words.endswith("serves large, small, context window 8,192 tokens; it does not serve medium")


def test_a_model_that_was_not_called_is_missed_as_well() -> None:
    finding = checked("vllm", models={"a": "small", "b": "medium"})
    assert finding.ok, "calls decide"
    assert finding.words.endswith("; it does not serve medium")


@pytest.mark.parametrize(("concurrency", "told"), [(4, False), (5, True)])
def test_more_calls_than_slots_are_told(concurrency: int, *, told: bool) -> None:
    words = checked("llama.cpp", limits=Limits(concurrency=concurrency)).words
    assert words.endswith(f"; limits.concurrency is {concurrency}, which is more than its slots") == told


def test_a_vendor_is_not_asked() -> None:
    finding = checked("vllm", provider="openai")
    assert (finding.ok, finding.server) == (True, None)
    assert "; " not in finding.words


def test_json_has_each_fact_by_itself(tmp_path: Path) -> None:
    config = 'models = ["small"]\n[self_hosted]\nengine = "llama.cpp"\ncontext_window = 8192\nversion = "1.2"\n'
    file = tmp_path / "penstock.toml"
    with simulator(tmp_path, config) as sim:
        account = '[[accounts]]\nname = "{0}"\nprovider = "{1}"\nbase_url = "{2}"\nmodels = ["small"]\n'
        file.write_text(
            account.format("home", "llama.cpp", sim.base_url)
            + 'headers = { "x-key" = "sim" }\n'
            + account.format("other", "penstock-sim", sim.base_url)
        )
        result = CliRunner().invoke(accounts_app, ["check", "--json", "--config", str(file)])
    home, other = json.loads(result.output)
    assert home["server"] == {
        "engine": "llama.cpp",
        "version": "1.2",
        "models": [],
        "lists_all": False,
        "context_windows": {"": 8192},
        "slots": 4,
    }
    assert other["server"] is None
    assert set(home) == {"account", "model", "ok", "words", "server"}

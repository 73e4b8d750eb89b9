import tomllib
from pathlib import Path

import pytest

from broker.catalog.lookup import providers
from broker.catalog.starter import key_names, starter
from broker.domain.dialect import Dialect
from broker.settings import parse


def test_every_found_key_with_a_known_url_becomes_an_account() -> None:
    text, names = starter(providers().values(), frozenset({"OPENAI_API_KEY", "GROQ_API_KEY"}))
    accounts = parse(text, Path("penstock.toml")).accounts
    assert [account.name for account in accounts] == list(names) == ["openai-1", "groq-1"]
    assert [account.secret for account in accounts] == ["env:OPENAI_API_KEY", "env:GROQ_API_KEY"]


def test_a_key_that_opens_two_apis_of_one_vendor_is_one_account() -> None:
    text, names = starter(providers().values(), frozenset({"ANTHROPIC_API_KEY", "GEMINI_API_KEY"}))
    assert names == ("anthropic-1", "gemini-1")
    protocols = [account.protocols for account in parse(text, Path("penstock.toml")).accounts]
    assert protocols == [(Dialect.ANTHROPIC_MESSAGES,), (Dialect.GEMINI_GENERATE_CONTENT,)]


def test_a_provider_that_needs_its_url_stays_a_comment() -> None:
    text, names = starter(providers().values(), frozenset({"AZURE_OPENAI_API_KEY"}))
    assert names == ("penstock-sim-1",)
    assert '# api_key = "env:AZURE_OPENAI_API_KEY"' in text


def test_without_keys_the_file_works_with_the_simulator_and_shows_self_hosted_servers() -> None:
    text, names = starter(providers().values(), frozenset())
    assert names == ("penstock-sim-1",)
    assert [account.provider for account in parse(text, Path("penstock.toml")).accounts] == ["penstock-sim"]
    assert '# provider = "vllm"' in text
    assert '# provider = "ollama"' in text


@pytest.mark.parametrize("keys", [frozenset(), key_names(), *(frozenset({name}) for name in key_names())])
def test_the_file_always_loads(keys: frozenset[str]) -> None:
    text, names = starter(providers().values(), keys)
    assert len(parse(text, Path("penstock.toml")).accounts) == len(names) >= 1


def test_the_examples_load_once_they_are_uncommented() -> None:
    text, _ = starter(providers().values(), frozenset())
    # What is left a comment then is prose: a line of the example tables looks like a header or a key.
    lines = [
        line.removeprefix("# ") if line.startswith(("# [[", "# [")) or " = " in line else line
        for line in text.splitlines()
    ]
    lines = [line for line in lines if not line.startswith("Logical name")]
    raw = tomllib.loads("\n".join(lines))
    accounts = parse("\n".join(lines), Path("penstock.toml")).accounts
    assert len(accounts) == len(raw["accounts"]) > 3


def test_each_alternative_variable_is_used_when_it_is_the_one_set() -> None:
    text, _ = starter(providers().values(), frozenset({"GOOGLE_API_KEY"}))
    assert 'api_key = "env:GOOGLE_API_KEY"' in text

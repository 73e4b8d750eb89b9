"""What is known of models by their names: facts of the vendors' pages, whatever the name looks like."""

from collections.abc import Mapping
from typing import Any

import pytest

from broker.catalog.lookup import find
from broker.catalog.model_facts import caps_overrides, facts_by_name, plain_name
from broker.domain.account import Account
from broker.domain.caps import ThinkingForm
from broker.domain.dialect import Dialect
from broker.domain.provider import ProviderFacts
from broker.protocols.registry import codec_of
from broker.wiring.known_models import known_caps

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI_GENERATE_CONTENT
BUDGET, ADAPTIVE, NO_THINKING = ThinkingForm.BUDGET, ThinkingForm.ADAPTIVE, ThinkingForm.NONE


def an_account(model: str, provider: str = "openai-compatible", logical: str = "ours", **changes: Any) -> Account:
    known = find(provider)
    assert known is not None
    facts = {"facts": known.facts} | changes
    return Account(
        name="a", provider=provider, protocols=known.protocols, base_url="x", models={logical: model}, **facts
    )


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        ("gpt-5-mini", "gpt-5-mini"),
        ("openai/gpt-oss-20b:fastest", "gpt-oss-20b"),
        ("openai/gpt-oss-20b:groq", "gpt-oss-20b"),
        ("accounts/fireworks/models/gpt-oss-20b", "gpt-oss-20b"),
        ("openai.gpt-oss-20b-1:0", "gpt-oss-20b-1"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001-v1"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("Meta-Llama-3.3-70B-Instruct", "meta-llama-3.3-70b-instruct"),
        ("gpt-4.1", "gpt-4.1"),
        ("llama3.2:3b", "llama3.2"),
    ],
)
def test_a_name_is_compared_without_what_stands_around_it(model: str, plain: str) -> None:
    assert plain_name(model) == plain


@pytest.mark.parametrize(
    ("model", "dialect", "facts"),
    [
        ("claude-opus-4-7", MESSAGES, {"sampling": False, "thinking": ADAPTIVE, "mid_system": False, "prefill": False}),
        ("anthropic/claude-opus-4.7", MESSAGES, {"sampling": False, "thinking": ADAPTIVE}),
        ("claude-opus-4-8", MESSAGES, {"sampling": False, "mid_system": True, "max_output_tokens": 128_000}),
        ("claude-sonnet-4-6", MESSAGES, {"sampling": True, "thinking": ADAPTIVE, "prefill": False}),
        ("claude-sonnet-4-6", MESSAGES, {"efforts": ("low", "medium", "high", "max"), "mid_system": False}),
        ("claude-sonnet-4-5-20250929", MESSAGES, {"sampling": True, "thinking": BUDGET, "prefill": True}),
        ("claude-sonnet-4-5-20250929", MESSAGES, {"structured_output": True, "strict_tools": True}),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", MESSAGES, {"max_output_tokens": 64_000, "thinking": BUDGET}),
        ("claude-opus-4-20250514", MESSAGES, {"max_output_tokens": 32_000, "thinking_budget_max": 31_999}),
        ("claude-opus-4-20250514", MESSAGES, {"structured_output": False, "prefill": True}),
        ("claude-opus-4-1-20250805", MESSAGES, {"max_output_tokens": 32_000, "temperature_with_top_p": False}),
        ("claude-sonnet-4@20250514", MESSAGES, {"max_output_tokens": 64_000, "thinking": BUDGET, "sampling": True}),
        ("claude-3-5-haiku-latest", MESSAGES, {"max_output_tokens": 8_192, "thinking": NO_THINKING, "sampling": True}),
        ("claude-opus-5", MESSAGES, {"sampling": False, "thinking": ADAPTIVE, "mid_system": True}),
        ("claude-opus-5-5", MESSAGES, {"thinking_off": False, "max_output_tokens": 128_000}),
        ("claude-sonnet-5", MESSAGES, {"mid_system": False, "sampling": False}),
        ("claude-sonnet-5-5", MESSAGES, {"mid_system": True, "thinking_off": False}),
        ("claude-fable-5-2", MESSAGES, {"thinking_off": False, "efforts": ("low", "medium", "high", "xhigh", "max")}),
        ("claude-mythos-preview", MESSAGES, {"mid_system": False, "efforts": ("low", "medium", "high", "max")}),
        ("gemini-2.5-flash", GEMINI, {"thinking": BUDGET, "thinking_off": True, "thinking_budget_max": 24_576}),
        ("models/gemini-2.5-pro", GEMINI, {"thinking": BUDGET, "thinking_off": False, "thinking_budget_max": 32_768}),
        ("gemini-3-pro-preview", GEMINI, {"thinking": ThinkingForm.LEVEL, "efforts": ("low", "high")}),
        ("gemini-3-flash-preview", GEMINI, {"efforts": ("minimal", "low", "medium", "high")}),
        ("gemini-3.6-flash", GEMINI, {"sampling": False, "penalties": False, "efforts": ("low", "medium", "high")}),
        ("gemini-2.0-flash", GEMINI, {"schema_field": "responseSchema", "thinking": NO_THINKING}),
        ("gpt-5-mini", CHAT, {"sampling": False, "stop": False, "thinking_off": False}),
        ("gpt-5-mini", CHAT, {"efforts": ("minimal", "low", "medium", "high")}),
        ("gpt-5.1", CHAT, {"efforts": ("low", "medium", "high"), "thinking_off": True}),
        ("gpt-5.4-mini", RESPONSES, {"efforts": ("low", "medium", "high", "xhigh")}),
        ("gpt-5.2-pro", RESPONSES, {"efforts": ("medium", "high", "xhigh"), "thinking_off": False}),
        ("gpt-5.6-luna", CHAT, {"efforts": ("low", "medium", "high", "xhigh", "max"), "cache_marks": True}),
        ("gpt-6.1-sol", CHAT, {"sampling": False, "efforts": ("low", "medium", "high", "xhigh", "max")}),
        ("gpt-5-chat-latest", CHAT, {"sampling": True, "thinking": NO_THINKING, "stop": True}),
        ("gpt-5-chat-latest", RESPONSES, {"sampling": True, "stop": False, "penalties": False}),
        ("o3-mini", CHAT, {"sampling": False, "stop": False, "efforts": ("low", "medium", "high")}),
        ("gpt-4o-mini", CHAT, {"thinking": NO_THINKING, "max_output_tokens": 16_384}),
        ("gpt-4o-audio-preview", CHAT, {"audio": True, "images": False}),
        ("gpt-4.1-nano", CHAT, {"thinking": NO_THINKING, "max_output_tokens": 32_768}),
        ("gpt-4-0613", CHAT, {"structured_output": False, "images": False}),
        ("deepseek-reasoner", CHAT, {"sampling": False, "logprobs": False}),
    ],
)  # fmt: skip
def test_a_model_is_known_by_its_name(model: str, dialect: Dialect, facts: Mapping[str, object]) -> None:
    known = facts_by_name(model, dialect)
    assert {name: known.get(name) for name in facts} == facts


def test_an_older_model_whose_name_begins_alike_is_not_mistaken() -> None:
    assert "sampling" not in facts_by_name("gpt-4-1106-preview", CHAT)
    assert facts_by_name("gpt-4.1", CHAT).get("structured_output") is None


def test_of_a_model_that_nobody_knows_nothing_is_said() -> None:
    assert facts_by_name("our-own-7b", CHAT) == {}


def test_what_is_true_in_one_dialect_is_not_said_in_another() -> None:
    assert "thinking" not in facts_by_name("claude-opus-4-7", CHAT)
    assert "cache_marks" not in facts_by_name("claude-opus-4-7", CHAT)


def test_facts_never_give_a_dialect_what_it_has_not() -> None:
    """The Responses dialect knows no seed, penalties, stop sequences or choices, whatever the model."""
    names = "gpt-4o gpt-4.1 gpt-5-chat-latest gpt-5 gpt-5.6 gpt-6-sol o3 gpt-4 gpt-3.5-turbo chatgpt-4o-latest"
    for name in names.split():
        caps = codec_of(RESPONSES).caps.amended(facts_by_name(name, RESPONSES))
        assert (caps.seed, caps.penalties, caps.stop, caps.choices) == (False, False, False, False), name


def test_the_logical_name_helps_where_the_deployment_is_called_anything() -> None:
    account = an_account("prod-eu-3", "azure", logical="gpt-5-mini")
    assert caps_overrides(account, "gpt-5-mini", CHAT)["sampling"] is False


def test_the_name_at_the_provider_beats_the_logical_one() -> None:
    account = an_account("gpt-4o", "azure", logical="gpt-5-mini")
    assert "sampling" not in caps_overrides(account, "gpt-5-mini", CHAT)


def test_the_operator_knows_better_than_the_provider_and_that_better_than_the_catalog() -> None:
    facts = ProviderFacts(caps={"sampling": True, "audio": True})
    account = an_account("gpt-5-mini", facts=facts, caps={"ours": {"audio": False}})
    known = caps_overrides(account, "ours", CHAT)
    assert (known["sampling"], known["audio"], known["stop"]) == (True, False, False)


def test_a_model_of_another_account_is_an_error() -> None:
    with pytest.raises(KeyError):
        caps_overrides(an_account("m"), "other", CHAT)


def test_compatible_servers_are_asked_with_max_tokens_and_openai_with_its_successor() -> None:
    assert known_caps(an_account("m", "vllm"))("ours", CHAT).output_limit_field == "max_tokens"
    assert known_caps(an_account("m", "openai"))("ours", CHAT).output_limit_field == "max_completion_tokens"


@pytest.mark.parametrize("dialect", Dialect)
def test_what_nobody_knows_is_as_the_codec_assumes(dialect: Dialect) -> None:
    account = an_account("our-own-7b", facts=ProviderFacts())
    assert known_caps(account)("ours", dialect) == codec_of(dialect).caps


def test_a_name_that_says_how_it_is_served_reaches_the_provider_whole() -> None:
    for name in ("openai/gpt-oss-20b:fastest", "openai/gpt-oss-20b:cheapest", "openai/gpt-oss-20b:groq"):
        account = an_account(name, "huggingface")
        assert known_caps(account)("ours", CHAT).efforts == ("low", "medium", "high")
        assert account.models["ours"] == name

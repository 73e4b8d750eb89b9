"""What a provider does otherwise reaches the request that is sent to it, and nothing is dropped in silence."""

from typing import Any

import pytest

from broker.catalog.lookup import find
from broker.domain.account import Account
from broker.domain.dialect import Dialect, spoken
from broker.protocols import Translation, UntranslatableRequest, translate_request
from broker.wiring.known_models import known_caps

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
MESSAGE: dict[str, Any] = {
    "model": "m",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hi."}],
}
GENERATE: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi."}]}]}


def sent(
    provider: str, model: str, body: dict[str, Any], source: Dialect, on_loss: str = "fail", **caps: object
) -> Translation:
    """What an account of this provider is sent."""
    known = find(provider)
    assert known is not None
    account = Account(
        name="a",
        provider=provider,
        protocols=known.protocols,
        base_url="x",
        models={"ours": model},
        facts=known.facts,
        caps={"ours": caps},
    )
    target = spoken(source, generates=True, protocols=account.protocols)
    assert target is not None
    return translate_request(
        body, source=source, target=target, model=model, on_loss=on_loss, caps=known_caps(account)("ours", target)
    )


def message(**changes: Any) -> dict[str, Any]:
    return MESSAGE | changes


@pytest.mark.parametrize(
    ("provider", "field"),
    [
        ("openai", "max_completion_tokens"),
        ("groq", "max_completion_tokens"),
        ("vllm", "max_tokens"),
        ("mistral", "max_tokens"),
    ],
)
def test_the_length_of_an_answer_is_limited_in_the_field_that_is_read(provider: str, field: str) -> None:
    body = sent(provider, "some-model", message(), Dialect.ANTHROPIC_MESSAGES).body
    assert body[field] == 100
    assert not {"max_tokens", "max_completion_tokens"} - {field} & body.keys()


def test_several_answers_are_several_calls_where_one_call_gives_one() -> None:
    wanted = GENERATE | {"generationConfig": {"candidateCount": 3}}
    groq = sent("groq", "m", wanted, Dialect.GEMINI_GENERATE_CONTENT)
    assert (groq.fan_out, "n" in groq.body) == (3, False)
    vllm = sent("vllm", "m", wanted, Dialect.GEMINI_GENERATE_CONTENT)
    assert (vllm.fan_out, vllm.body["n"]) == (1, 3)


def test_a_schema_that_a_provider_does_not_follow_is_refused_and_not_dropped() -> None:
    wanted = message(output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    with pytest.raises(UntranslatableRequest):
        sent("deepseek", "deepseek-chat", wanted, Dialect.ANTHROPIC_MESSAGES)
    translation = sent("deepseek", "deepseek-chat", wanted, Dialect.ANTHROPIC_MESSAGES, on_loss="drop")
    assert "response_format" not in translation.body
    assert [warning.code for warning in translation.warnings] == ["unsupported_field"]


@pytest.mark.parametrize(
    ("caps", "field", "value"),
    [
        (
            {},
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "output", "schema": SCHEMA, "strict": True}},
        ),
        ({"structured_output_field": "structured_outputs"}, "structured_outputs", {"json": SCHEMA}),
        ({"structured_output_field": "guided_json"}, "guided_json", SCHEMA),
    ],
)
def test_a_schema_goes_where_the_servers_version_looks_for_it(caps: dict[str, Any], field: str, value: object) -> None:
    wanted = message(output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    body = sent("vllm", "m", wanted, Dialect.ANTHROPIC_MESSAGES, **caps).body
    assert {name: body[name] for name in body.keys() & {"response_format", "structured_outputs", "guided_json"}} == {
        field: value
    }


def test_a_temperature_that_is_too_high_is_clamped_with_a_warning() -> None:
    wanted = GENERATE | {"generationConfig": {"temperature": 1.8}}
    translation = sent("mistral", "mistral-small-latest", wanted, Dialect.GEMINI_GENERATE_CONTENT, on_loss="drop")
    assert translation.body["temperature"] == 1.5
    assert [warning.code for warning in translation.warnings] == ["clamped"]


def test_sampling_that_a_model_refuses_never_reaches_it() -> None:
    body = message(temperature=0.5)
    with pytest.raises(UntranslatableRequest):
        sent("openai", "gpt-5-mini", body, Dialect.ANTHROPIC_MESSAGES)
    assert sent("openai", "gpt-4.1-mini", body, Dialect.ANTHROPIC_MESSAGES).body["temperature"] == 0.5
    assert sent("openai", "gpt-5.1", body, Dialect.ANTHROPIC_MESSAGES, sampling=True).body["temperature"] == 0.5


def test_thinking_is_asked_for_as_the_model_takes_it() -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi."}], "reasoning_effort": "high"}

    def asked(provider: str, model: str) -> dict[str, Any]:
        return sent(provider, model, chat | {"max_tokens": 50_000}, Dialect.OPENAI_CHAT).body

    assert asked("anthropic", "claude-opus-4-7")["thinking"]["type"] == "adaptive"
    assert asked("anthropic", "claude-sonnet-4-5")["thinking"]["type"] == "enabled"
    assert asked("gemini", "gemini-2.5-flash")["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 24_576}
    assert asked("gemini", "gemini-3-pro-preview")["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "HIGH"}


def test_without_a_limit_a_claude_model_is_given_its_own() -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi."}]}
    for model, most in (("claude-opus-4-7", 128_000), ("claude-haiku-4-5", 64_000), ("claude-opus-4-1", 32_000)):
        assert sent("anthropic", model, chat, Dialect.OPENAI_CHAT).body["max_tokens"] == most


@pytest.mark.parametrize("suffix", [":fastest", ":cheapest", ":groq"])
def test_how_a_router_is_to_choose_survives_translation(suffix: str) -> None:
    name = f"openai/gpt-oss-20b{suffix}"
    assert sent("huggingface", name, message(), Dialect.ANTHROPIC_MESSAGES).body["model"] == name

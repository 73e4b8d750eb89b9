import tomllib
from dataclasses import replace
from importlib.resources import files

import orjson
import pytest

from broker.accounting.price_list import PriceList
from broker.catalog.lookup import Provider, find, nearest, provider_of, providers
from broker.domain.account import Account
from broker.domain.dialect import Dialect
from broker.domain.provider import Check, reconsidered
from broker.protocols.registry import CODECS, codec_of
from broker.settings.checks import base_url
from broker.settings.provider_schema import ProviderSection

ENTRIES = files("broker.catalog").joinpath("providers.toml").read_text(encoding="utf-8")

EVERY = [pytest.param(provider, id=name) for name, provider in providers().items()]


def test_the_catalog_has_the_providers_that_people_ask_for() -> None:
    wanted = (
        "openai azure anthropic gemini vertex mistral huggingface fireworks together groq deepseek openrouter cerebras "
        "sambanova nebius novita hyperbolic cohere vllm llama.cpp ollama tgi sglang bedrock-openai openai-compatible "
        "anthropic-openai gemini-openai vertex-openai penstock-sim"
    )
    assert set(wanted.split()) <= set(providers())


@pytest.mark.parametrize("provider", EVERY)
def test_a_provider_is_spoken_to_in_dialects_of_ours(provider: Provider) -> None:
    assert provider.protocols
    assert set(provider.protocols) <= set(CODECS)


@pytest.mark.parametrize("provider", EVERY)
def test_a_provider_has_a_usable_url_or_shows_what_one_looks_like(provider: Provider) -> None:
    url = provider.base_url or provider.base_url_example
    assert url is not None
    assert base_url(url) == url


@pytest.mark.parametrize("provider", EVERY)
def test_a_provider_suggests_a_model(provider: Provider) -> None:
    assert provider.suggested_models


@pytest.mark.parametrize("provider", EVERY)
def test_suggested_models_of_listed_providers_have_a_price(provider: Provider) -> None:
    listed = provider.price_provider
    missing = [name for name in provider.suggested_models.values() if listed and PriceList().find(listed, name) is None]
    assert missing == []


def test_only_the_simulator_is_free() -> None:
    free = [provider.name for provider in providers().values() if provider.facts.free]
    assert free == ["penstock-sim", "penstock-sim-anthropic", "penstock-sim-gemini"]


@pytest.mark.parametrize("provider", EVERY)
def test_an_entry_is_what_a_user_could_have_written(provider: Provider) -> None:
    entry = tomllib.loads(ENTRIES)[provider.name]
    del entry["suggested_models"]
    written = ProviderSection.model_validate(entry)
    assert provider_of(provider.name, written.entry()) == replace(provider, suggested_models={})


@pytest.mark.parametrize("provider", EVERY)
def test_a_quirk_changes_what_its_protocol_says(provider: Provider) -> None:
    """Else it says nothing: what a protocol understands needs no quirk."""
    codec = codec_of(provider.protocols[0])
    for quirk in provider.facts.quirks:
        body = orjson.dumps({"error": {"message": quirk.message or "No.", "code": quirk.code}})
        status = quirk.status or 400
        error = codec.error_of(status, {}, body, now=0.0)
        found = reconsidered(error, provider.facts.quirks)
        assert (found.error_class, found.scope) == (quirk.error_class, quirk.scope)
        assert (found.error_class, found.scope) != (error.error_class, error.scope)


def test_native_apis_are_called_as_their_own_sdks_call_them() -> None:
    anthropic, gemini, vertex = find("anthropic"), find("gemini"), find("vertex")
    assert anthropic is not None
    assert (anthropic.auth_header, anthropic.auth_scheme) == ("x-api-key", "")
    assert url(anthropic, Dialect.ANTHROPIC_MESSAGES, "claude-haiku-4-5", {}) == "https://api.anthropic.com/v1/messages"
    assert gemini is not None
    assert (gemini.auth_header, gemini.auth_scheme) == ("x-goog-api-key", "")
    generate = url(gemini, Dialect.GEMINI_GENERATE_CONTENT, "gemini-2.5-flash", {"contents": []})
    assert generate == ("https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent")
    assert vertex is not None
    assert (vertex.auth_header, vertex.auth_scheme) == ("authorization", "Bearer")
    project = "https://eu-aiplatform.googleapis.com/v1/projects/p/locations/eu/publishers/google"
    embed = url(vertex, Dialect.GEMINI_GENERATE_CONTENT, "gemini-embedding-2", {"content": {}}, base_url=project)
    assert embed == f"{project}/models/gemini-embedding-2:embedContent"


def url(provider: Provider, dialect: Dialect, model: str, body: dict[str, object], base_url: str | None = None) -> str:
    """Where an account of this provider sends such a body."""
    account = Account(
        name="a",
        provider=provider.name,
        protocols=provider.protocols,
        base_url=base_url or provider.base_url or "",
        models={model: model},
        facts=provider.facts,
    )
    return account.url(dialect, codec_of(dialect).path(model, body), model)


def test_what_a_vendor_offers_twice_is_two_providers() -> None:
    spoken = {name: provider.protocols for name, provider in providers().items()}
    assert spoken["anthropic"] == (Dialect.ANTHROPIC_MESSAGES,)
    assert spoken["anthropic-openai"] == (Dialect.OPENAI_CHAT,)
    assert spoken["openai"] == (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.OPENAI_EMBEDDINGS)


def test_servers_that_people_run_themselves_are_believed_less() -> None:
    hosted = {name for name, provider in providers().items() if provider.facts.self_hosted}
    assert hosted == {"vllm", "llama.cpp", "ollama", "tgi", "sglang"}
    assert all(providers()[name].facts.checks == frozenset(Check) for name in hosted)


def test_azure_sends_the_bare_key_and_never_refunds() -> None:
    azure = find("azure")
    assert azure is not None
    assert (azure.auth_header, azure.auth_scheme, azure.charge_mode) == ("api-key", "", "max_once")


def test_an_unknown_provider_is_not_found() -> None:
    assert find("nobody") is None


@pytest.mark.parametrize(("typed", "meant"), [("opnai", "openai"), ("GROQ", "groq"), ("llamacpp", "llama.cpp")])
def test_a_typing_error_finds_what_was_meant(typed: str, meant: str) -> None:
    assert nearest(typed, providers()) == meant


def test_nothing_is_suggested_for_something_else() -> None:
    assert nearest("zzz", providers()) is None

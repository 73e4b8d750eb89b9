import pytest

from broker.accounting.price_list import PriceList
from broker.catalog.lookup import Provider, find, nearest, providers
from broker.protocols.registry import CODECS
from broker.settings.checks import base_url

EVERY = [pytest.param(provider, id=name) for name, provider in providers().items()]


def test_the_catalog_has_the_providers_that_people_ask_for() -> None:
    wanted = (
        "openai azure mistral huggingface fireworks together groq deepseek openrouter cerebras sambanova nebius novita "
        "hyperbolic cohere vllm llama.cpp ollama tgi sglang openai-compatible penstock-sim"
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
    assert [provider.name for provider in providers().values() if provider.facts.free] == ["penstock-sim"]


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

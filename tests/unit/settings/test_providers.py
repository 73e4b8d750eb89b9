"""Providers of a user's own, what an account is spoken to in, and what is known better of its models."""

from dataclasses import fields
from pathlib import Path

import pytest

from broker.domain.account import Account, ChargeMode
from broker.domain.attempt import ErrorClass, Scope
from broker.domain.caps import Caps, ThinkingForm
from broker.domain.dialect import OPENAI_FAMILY, Dialect
from broker.domain.provider import Check, HeaderDialect, ProbePage, Quirk
from broker.errors import ConfigError
from broker.settings import parse
from broker.settings.caps_schema import CapsSection

ACCOUNT = '[[accounts]]\nname = "a"\nprovider = "acme"\napi_key = "env:KEY"\nmodels = ["m"]\n'
THREE_LINES = """
[providers.acme]
base_url = "https://api.acme.example/v1"
key_env = "ACME_API_KEY"
"""
ACME = ACCOUNT + THREE_LINES
ANTHROPIC = '[[accounts]]\nname = "a"\nprovider = "anthropic"\napi_key = "env:KEY"\nmodels = ["claude-haiku-4-5"]\n'


def account(text: str) -> Account:
    (found,) = parse(text, Path("penstock.toml")).accounts
    return found


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse(text, Path("penstock.toml"))
    return str(error.value)


def test_a_provider_takes_three_lines() -> None:
    found = account(ACME)
    assert (found.provider, found.base_url) == ("acme", "https://api.acme.example/v1")
    assert found.protocols == OPENAI_FAMILY
    assert (found.auth_header, found.auth_scheme, found.price_provider) == ("authorization", "Bearer", None)
    assert found.facts.caps == {"output_limit_field": "max_tokens"}


def test_every_key_of_a_provider_is_taken_over() -> None:
    found = account(
        ACCOUNT
        + """
[providers.acme]
title = "Acme"
base_url = "https://api.acme.example"
protocols = ["anthropic-messages", "openai"]
auth_header = "X-Acme-Key"
auth_scheme = ""
headers = { "X-Version" = "2" }
paths = { "openai-chat" = "/openai/{model}/chat" }
charge_mode = "max_once"
header_dialect = "anthropic"
price_provider = "anthropic"
free = true
usage_details_default_zero = true
self_hosted = true
checks = ["usage", "schema"]
caps = { output_limit_field = "max_new", efforts = ["low", "high"], thinking = "effort" }
quirks = [{ status = 429, code = "no_credit", message = "wallet", class = "spend", retry = "other" }]
any_model = true
[[providers.acme.probe]]
path = "/about?full=1"
ask_field = "m"
items = "/all"
model = "/id"
version = "/v"
slots = "/n/0"
context_window = "/w"
lists_all = true
"""
    )
    assert found.protocols == (Dialect.ANTHROPIC_MESSAGES, *OPENAI_FAMILY)
    assert (found.auth_header, found.auth_scheme, found.headers) == ("x-acme-key", "", {"X-Version": "2"})
    assert (found.charge_mode, found.price_provider) == (ChargeMode.MAX_ONCE, "anthropic")
    facts = found.facts
    assert facts.paths == {Dialect.OPENAI_CHAT: "/openai/{model}/chat"}
    assert facts.header_dialect is HeaderDialect.ANTHROPIC
    assert (facts.free, facts.self_hosted) == (True, True)
    assert facts.usage_details_default_zero
    assert facts.checks == {Check.USAGE, Check.SCHEMA}
    assert facts.caps == {
        "output_limit_field": "max_new",
        "efforts": ("low", "high"),
        "thinking": ThinkingForm.EFFORT,
    }
    (quirk,) = facts.quirks
    assert quirk == Quirk(
        status=429, code="no_credit", message="wallet", error_class=ErrorClass.SPEND, scope=Scope.OTHER
    )
    assert facts.any_model
    assert facts.probe == (
        ProbePage(
            path="/about?full=1",
            ask_field="m",
            items="/all",
            model="/id",
            version="/v",
            slots="/n/0",
            context_window="/w",
            lists_all=True,
        ),
    )


def test_a_provider_of_the_file_stands_in_place_of_the_catalogs() -> None:
    text = ACCOUNT.replace("acme", "groq") + THREE_LINES.replace("acme]", "groq]")
    found = account(text)
    assert (found.base_url, found.facts.header_dialect) == ("https://api.acme.example/v1", HeaderDialect.NONE)


@pytest.mark.parametrize(
    ("written", "protocols"),
    [
        ('"openai"', OPENAI_FAMILY),
        ('"openai-chat"', (Dialect.OPENAI_CHAT,)),
        ('["openai-responses", "openai"]', (Dialect.OPENAI_RESPONSES, *OPENAI_FAMILY)),
        ('["openai", "openai-chat"]', OPENAI_FAMILY),
        ('["gemini-generateContent"]', (Dialect.GEMINI_GENERATE_CONTENT,)),
    ],
)
def test_an_account_says_what_it_is_spoken_to_in(written: str, protocols: tuple[Dialect, ...]) -> None:
    assert account(f"{ACCOUNT}protocol = {written}\n{THREE_LINES}").protocols == protocols


def test_headers_of_an_account_replace_the_providers_in_any_case() -> None:
    provider = THREE_LINES + 'headers = { "X-Version" = "2", "X-Other" = "3" }\n'
    found = account(f'{ACCOUNT}headers = {{ "x-version" = "9" }}\n{provider}')
    assert found.headers == {"X-Other": "3", "x-version": "9"}


def test_caps_of_an_account_are_known_by_logical_model() -> None:
    text = ANTHROPIC + '[accounts.caps."claude-haiku-4-5"]\nmax_output_tokens = 1000\nthinking = "none"\n'
    assert account(text).caps == {"claude-haiku-4-5": {"max_output_tokens": 1000, "thinking": ThinkingForm.NONE}}


def test_every_fact_of_a_model_can_be_written() -> None:
    assert set(CapsSection.model_fields) == {fact.name for fact in fields(Caps)}


def test_the_router_is_told_whom_to_charge_and_how_to_route() -> None:
    names = ["openai/gpt-oss-20b:fastest", "openai/gpt-oss-20b:cheapest", "openai/gpt-oss-20b:groq"]
    text = '[[accounts]]\nname = "hf"\nprovider = "huggingface"\napi_key = "env:HF_TOKEN"\n'
    text += f'headers = {{ "X-HF-Bill-To" = "my-org" }}\nmodels = {names}\n'
    found = account(text)
    assert found.headers == {"X-HF-Bill-To": "my-org"}
    assert list(found.models.values()) == names


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ACCOUNT, 'unknown provider "acme"'),
        (ACCOUNT, "or gets its own table [providers.NAME]"),
        (ACME + "zzz = 1\n", "penstock.toml:10: providers.acme.zzz: unknown key; known are any_model, auth_header,"),
        (ACME + 'protocol = "openai"\n', "providers.acme.protocol: unknown key; did you mean `protocols`?"),
        (ACME + 'protocols = ["soap"]\n', "providers.acme.protocols: names no dialect; known are openai-chat"),
        (ACME + "protocols = []\n", "must be a dialect or a list of them"),
        (ACME + "protocols = [3]\n", "names no dialect"),
        (ACME + "caps = { thinks = true }\n", "providers.acme.caps.thinks: unknown key; did you mean `thinking`?"),
        (ACME + 'caps = { sampling = "no" }\n', "providers.acme.caps.sampling: must be true or false"),
        (ACME + 'caps = { thinking = "deeply" }\n', "must be 'none', 'effort',"),
        (ACME + 'header_dialect = "x"\n', "providers.acme.header_dialect: must be 'none', 'openai'"),
        (ACME + 'checks = ["x"]\n', "must be 'truncation', 'schema'"),
        (ACME + 'quirks = [{ class = "spend", retry = "other" }]\n', "must say which error is meant"),
        (ACME + "quirks = [{ status = 429 }]\n", "providers.acme.quirks[0].class: is missing"),
        (ACME + 'quirks = [{ status = 1, class = "spend", retry = "other" }]\n', "must not be below 100"),
        (ACME + 'probe = [{ path = "props" }]\n', "providers.acme.probe[0].path: must be a path that begins with /"),
        (ACME + 'probe = [{ path = "/a b" }]\n', "must be a path that begins with /"),
        (ACME + 'probe = [{ path = "/a", slots = "n" }]\n', "probe[0].slots: must be a JSON pointer"),
        (ACME + 'probe = [{ slots = "/n" }]\n', "providers.acme.probe[0].path: is missing"),
        (ACME + 'paths = { "openai-chat" = "chat" }\n', "must be a path that begins with /"),
        (ACME + 'paths = { "openai-chat" = "/a{b}" }\n', "only {model} and {method}"),
        (ACME + 'paths = { "soap" = "/a" }\n', "must be 'openai-chat', 'openai-responses'"),
        (ACME + 'headers = { "Authorization" = "x" }\n', "carries a credential"),
        (ACME + 'auth_header = "content-type"\n', "must be the name of a header that nothing else"),
        (ACME + 'auth_scheme = "Bearer "\n', "must be a word that stands before the key"),
        (ACCOUNT + THREE_LINES.replace("/v1", "/v1/chat/completions"), "providers.acme.base_url: must end before"),
        (ACCOUNT + '[providers.acme]\nkey_env = "K"\n', 'provider "acme" needs a base_url'),
        (ACCOUNT.replace('api_key = "env:KEY"\n', "") + THREE_LINES, 'add `api_key = "env:ACME_API_KEY"`'),
        (ACCOUNT.replace('name = "a"', 'name = "acme"') + ACCOUNT + THREE_LINES, '"acme" is also a provider'),
        (ACCOUNT + THREE_LINES.replace("acme]", '"a b"]'), "must be 1 to 64 letters"),
        (ANTHROPIC + 'base_url = "https://proxy/v1"\n', "accounts[0].base_url: must end before /v1, which is added"),
        (ANTHROPIC + '[accounts.caps."haiku"]\nsampling = true\n', "is not a model of this account"),
        (ANTHROPIC + '[accounts.caps."claude-haiku-4-5"]\nsamplin = true\n', "unknown key; did you mean `sampling`?"),
        (ANTHROPIC + '[accounts.caps."claude-haiku-4-5"]\nzzz = true\n', "unknown key; known are anthropic_version,"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_key_and_remedy(text: str, why: str) -> None:
    assert why in refused(text)


@pytest.mark.parametrize(
    "line",
    [
        'key_env = "sk-canary0123456789abcdef"',
        'headers = { "X-Thing" = "sk-canary0123456789abcdef" }',
        'title = "sk-canary0123456789abcdef"',
        'auth_scheme = "sk-canary0123456789abcdef"',
        'base_url = "https://user:canary@host/v1"',
    ],
)
def test_a_key_that_was_pasted_is_refused_and_not_shown(line: str) -> None:
    words = refused(f"{ACCOUNT}[providers.acme]\n{line}\n")
    assert "canary" not in words

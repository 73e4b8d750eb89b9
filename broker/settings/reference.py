"""Writes `docs/reference/configuration.md` from the schema and the catalog.

`python -m broker.settings.reference > docs/reference/configuration.md`; a test fails when the file is stale.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from broker.catalog.lookup import Provider, providers
from broker.settings.caps_schema import CapsSection
from broker.settings.provider_schema import ProviderSection, QuirkSection
from broker.settings.schema import (
    AccountSection,
    AutoscaleSection,
    BrokerSection,
    LimitsSection,
    PricesSection,
    RetriesSection,
    RunSection,
)
from broker.settings.values import Section

_HEAD = """\
# Configuration

<!-- Generated: python -m broker.settings.reference > docs/reference/configuration.md -->

`penstock.toml` says which accounts may be used and what each allows. `penstock init` writes one from the keys it
finds in the environment; `penstock accounts check` tries it. Every command takes another file with `--config`.

```toml
[[accounts]]
name = "openai-team-a"
provider = "openai"
api_key = "env:OPENAI_API_KEY"            # or file:/run/secrets/…; never the key itself
limits = { requests_per_minute = 500, tokens_per_minute = 200_000, concurrency = 64 }
models = { "gpt-5-mini" = "gpt-5-mini" }  # logical name = name at the provider

[[accounts]]
name = "home-vllm"
provider = "vllm"
base_url = "http://127.0.0.1:8000/v1"
models = { "mistral-8x22b" = "mistralai/Mixtral-8x22B-Instruct-v0.1" }

[run]
retries = { unknown = 0 }
```

Unknown keys, wrong types and numbers that make no sense are errors. All of them are reported together, each with
file, line, key and remedy, and nothing is started (exit status 2). Values that may hold a secret are never printed.
"""
_SECRETS = """\
## Keys

`api_key` is a reference, resolved only by the worker of its account:

- `env:NAME`: the environment variable of that name.
- `file:PATH`: the content of a file, without surrounding white space. Mounted secrets work as they are; a file that
  the group or others may write is refused.
"""
_SHARED = """\
## Accounts that share a limit

Two keys of one organisation are one account to the provider. Give them the same `limit_group`, and declare the limits
at one of them, or the same at all: the group is limited once.
"""
_DIALECTS = """\
## What an account is spoken to in

A provider speaks one or more dialects; a job in one of them is passed through as it is, any other is translated into
the first one that fits. `protocol` of an account overrides the list. The dialects are `openai-chat`,
`openai-responses`, `openai-embeddings`, `anthropic-messages` and `gemini-generateContent` (which also embeds);
`openai` is short for `openai-chat` and `openai-embeddings`. The base URL holds the version for OpenAI's dialects
(`https://host/v1`), and none for the others (`https://host`).

What a translation must know of a model is looked up by the model's name, and can be put right in `caps`. Headers that
a provider knows go into `headers`: `X-HF-Bill-To` tells the Hugging Face router whom to charge. Its names of models
may end in `:fastest`, `:cheapest` or a provider, as in `openai/gpt-oss-20b:groq`.
"""
_PRICED = """\
## Where prices come from

In this order: `prices` of the account; zero for providers marked free below; the price list of
[genai-prices](https://github.com/pydantic/genai-prices) that is installed (nothing is fetched), by the model that
the answer names, else by the account's name for it. What has no price is counted as unpriced, never as zero:
self-hosted servers need `prices = { "model" = { input = 0, output = 0 } }` to count as free.
"""


def markdown() -> str:
    """Compose the whole page."""
    sections: tuple[tuple[str, type[Section]], ...] = (
        ("`[[accounts]]`", AccountSection),
        ("`limits` of an account", LimitsSection),
        ("`prices` of an account, per model", PricesSection),
        ("`autoscale` of an account", AutoscaleSection),
        ("`caps` of an account, per model", CapsSection),
        ("`[providers.NAME]`", ProviderSection),
        ("`quirks` of a provider, each", QuirkSection),
        ("`[run]`", RunSection),
        ("`[run.retries]`", RetriesSection),
        ("`[broker]`", BrokerSection),
    )
    parts = [_HEAD]
    parts += [f"## {title}\n\n{section.__doc__}\n\n{_keys(section)}" for title, section in sections]
    parts += [_SECRETS, _SHARED, _DIALECTS, _PRICED, f"## Providers\n\n{_providers()}"]
    return "\n".join(parts)


def _keys(section: type[Section]) -> str:
    rows = ["| Key | Type | Default | Example | Meaning |", "| --- | --- | --- | --- | --- |"]
    schema = section.model_json_schema()
    required = set(schema.get("required", ()))
    for name, value in schema["properties"].items():
        default = "required" if name in required else _default(value.get("default"))
        example = _code(value["examples"][0]) if "examples" in value else ""
        rows.append(f"| `{name}` | {_kind(value)} | {default} | {example} | {value['description']} |")
    return "\n".join(rows) + "\n"


def _default(value: Any) -> str:
    return "" if value is None or isinstance(value, dict | list) else _code(value)


def _code(value: Any) -> str:
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _toml_key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _kind(value: dict[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_kinds(value)))


def _kinds(value: dict[str, Any]) -> Iterator[str]:
    if "anyOf" in value:
        for choice in value["anyOf"]:
            yield from _kinds(choice)
    elif "$ref" in value:
        yield _NAMED.get(value["$ref"].rpartition("/")[2], "table")
    elif value.get("type") != "null":
        yield _TYPES[value["type"]]


_NAMED = {"ChargeMode": "`actual`, `max_once`"} | dict.fromkeys(
    ("ErrorClass", "HeaderDialect", "Scope", "ThinkingForm"), "text"
)
"""Closed sets; what each of them holds stands in the meaning of its keys, or is short."""
_TYPES = {
    "number": "number",
    "integer": "whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "list",
    "object": "table",
}


def _providers() -> str:
    rows = [
        "| Provider | What it is | Base URL | Speaks | Usual key | Prices |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows += [_provider_row(provider) for provider in providers().values()]
    return "\n".join(rows) + "\n"


def _provider_row(provider: Provider) -> str:
    url = f"`{provider.base_url}`" if provider.base_url else f"required, like `{provider.base_url_example}`"
    key = ", ".join(f"`{name}`" for name in provider.key_env) or ("required" if provider.needs_key else "none needed")
    prices = "free" if provider.facts.free else "list" if provider.price_provider else "own `prices` only"
    speaks = ", ".join(f"`{dialect}`" for dialect in provider.protocols)
    return f"| `{provider.name}` | {provider.title} | {url} | {speaks} | {key} | {prices} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())

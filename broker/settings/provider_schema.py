"""The shape of `[providers.NAME]`: the same as an entry of the catalog, which a test holds to it."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from broker.domain.account import ChargeMode
from broker.domain.attempt import ErrorClass, Scope
from broker.domain.dialect import Dialect
from broker.domain.provider import Check, HeaderDialect
from broker.settings.caps_schema import CapsSection
from broker.settings.values import (
    AuthHeader,
    AuthScheme,
    BaseUrl,
    Dialects,
    EnvironmentName,
    HeaderName,
    HeaderValue,
    Label,
    PathTemplate,
    Pointer,
    ProbePath,
    Section,
)


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


class QuirkSection(Section):
    """An error that means something else at this provider than its protocol says. What is given must all fit."""

    status: Annotated[int, Field(ge=100, le=599)] | None = Field(
        default=None, description="HTTP status.", examples=[429]
    )
    code: Label | None = Field(default=None, description="The provider's code, whole.", examples=["no_credit"])
    message: Label | None = Field(default=None, description="A part of the message.", examples=["per month"])
    error_class: Annotated[ErrorClass, Field(strict=False)] = Field(
        alias="class", description="What it means, a class of `docs/reference/errors.md`.", examples=["spend"]
    )
    retry: Annotated[Scope, Field(strict=False)] = Field(
        description="Where a job may be tried again: `same`, `other` or `never`.", examples=["other"]
    )

    @model_validator(mode="after")
    def _says_which(self) -> "QuirkSection":
        if self.status is None and self.code is None and self.message is None:
            raise ValueError("must say which error is meant, by status, code or message")
        return self


class ProbeSection(Section):
    """A page on which a server says what it is. Places on it are JSON pointers, into `items` where that is given."""

    path: ProbePath = Field(description="Below the base URL without a `/v1` at its end.", examples=["/props"])
    ask_field: Label | None = Field(
        default=None,
        description="Asked by POST, once for each model, whose name goes into this field; else by GET.",
        examples=["model"],
    )
    items: Pointer | None = Field(default=None, description="A list with an element per model.", examples=["/data"])
    model: Pointer | None = Field(default=None, description="The model's name.", examples=["/id"])
    version: Pointer | None = Field(default=None, description="The server's version.", examples=["/build_info"])
    slots: Pointer | None = Field(
        default=None, description="Calls that it works on at the same time.", examples=["/total_slots"]
    )
    context_window: Pointer | None = Field(
        default=None, description="Tokens of prompt and answer together.", examples=["/max_model_len"]
    )
    lists_all: bool = Field(default=False, description="True: no other models are served.", examples=[True])


class ProviderSection(Section):
    """A provider that the catalog does not have, or has otherwise: an entry here stands in place of the catalog's."""

    title: Label | None = Field(default=None, description="For people.", examples=["Acme Inference"])
    base_url: BaseUrl | None = Field(
        default=None,
        description="As the vendor's own SDK takes it; without it every account must give its own.",
        examples=["https://api.acme.example/v1"],
    )
    base_url_example: BaseUrl | None = Field(
        default=None, description="Shown to whoever forgot a required base_url.", examples=["https://HOST/v1"]
    )
    key_env: Annotated[list[EnvironmentName], BeforeValidator(_one_or_more)] = Field(
        default=[], description="Where the key usually is, the most specific variable first.", examples=["ACME_API_KEY"]
    )
    needs_key: bool = Field(default=True, description="False: an account without `api_key` is fine.", examples=[False])
    protocols: Dialects | None = Field(
        default=None,
        description="The dialects it speaks, the preferred one first; default: `openai-chat` and `openai-embeddings`.",
        examples=[["openai-chat"]],
    )
    auth_header: AuthHeader = Field(default="authorization", description="It carries the key.", examples=["x-api-key"])
    auth_scheme: AuthScheme = Field(
        default="Bearer", description="What stands before the key; empty sends it bare.", examples=[""]
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={}, description="Sent with every call.", examples=[{"anthropic-version": "2023-06-01"}]
    )
    paths: dict[Annotated[Dialect, Field(strict=False)], PathTemplate] = Field(
        default={},
        description="Where calls of a dialect go, below the base URL, instead of where its protocol says.",
        examples=[{"gemini-generateContent": "/models/{model}:{method}"}],
    )
    charge_mode: Annotated[ChargeMode, Field(strict=False)] = Field(
        default=ChargeMode.ACTUAL, description="What counts against token limits.", examples=["actual"]
    )
    header_dialect: Annotated[HeaderDialect, Field(strict=False)] = Field(
        default=HeaderDialect.NONE,
        description=f"What its rate-limit headers mean: {', '.join(f'`{name}`' for name in HeaderDialect)}.",
        examples=["openai"],
    )
    price_provider: Label | None = Field(
        default=None, description="Its id in the price list; default: not listed.", examples=["openai"]
    )
    free: bool = Field(default=False, description="True: a call costs nothing.", examples=[True])
    usage_details_default_zero: bool = Field(
        default=False, description="True: a detail missing from `usage` means 0, not unknown.", examples=[True]
    )
    caps: CapsSection = Field(
        default=CapsSection(),
        description='What it takes of every model; `output_limit_field` is `"max_tokens"` unless said otherwise.',
        examples=[{"structured_output": False}],
    )
    self_hosted: bool = Field(default=False, description="Run by its users.", examples=[True])
    probe: list[ProbeSection] = Field(
        default=[],
        description="What a worker asks the server when it starts; later pages know better.",
        examples=[[{"path": "/props", "slots": "/total_slots"}]],
    )
    any_model: bool = Field(
        default=False,
        description="True: the model's name in a request is not looked at, what is loaded answers.",
        examples=[True],
    )
    checks: list[Annotated[Check, Field(strict=False)]] = Field(
        default=[],
        description=f"What is looked at before a success is believed: {', '.join(f'`{name}`' for name in Check)}.",
        examples=[["usage", "truncation"]],
    )
    quirks: list[QuirkSection] = Field(
        default=[],
        description="Errors that mean something else than the protocol says.",
        examples=[[{"code": "no_credit", "class": "spend", "retry": "other"}]],
    )

    def entry(self) -> dict[str, Any]:
        """What the catalog would hold: the keys that were written."""
        return self.model_dump(exclude_unset=True, exclude_none=True, by_alias=True)

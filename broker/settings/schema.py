"""The shape of `penstock.toml`: every key, its type, its default and what it means."""

from typing import Annotated, Any

from pydantic import Field

from broker.domain.account import ChargeMode
from broker.settings.caps_schema import CapsSection
from broker.settings.provider_schema import ProviderSection
from broker.settings.values import (
    AccountName,
    AmqpUrl,
    BaseUrl,
    DatabaseUrl,
    Dialects,
    HeaderName,
    HeaderValue,
    Label,
    ModelNames,
    PositiveCount,
    PositiveNumber,
    Price,
    ProviderName,
    QueuePrefix,
    RedisUrl,
    Retries,
    SecretReference,
    Section,
)


class LimitsSection(Section):
    """What the account allows; a limit that is left out is unknown, not unlimited."""

    requests_per_minute: PositiveNumber | None = Field(default=None, description="Requests per minute.", examples=[500])
    tokens_per_minute: PositiveNumber | None = Field(
        default=None, description="Input and output tokens together, per minute.", examples=[200_000]
    )
    input_tokens_per_minute: PositiveNumber | None = Field(
        default=None, description="Input tokens per minute.", examples=[150_000]
    )
    output_tokens_per_minute: PositiveNumber | None = Field(
        default=None, description="Output tokens per minute.", examples=[50_000]
    )
    requests_per_day: PositiveNumber | None = Field(default=None, description="Requests per day.", examples=[10_000])
    tokens_per_day: PositiveNumber | None = Field(
        default=None, description="Input and output tokens together, per day.", examples=[50_000_000]
    )
    concurrency: PositiveCount | None = Field(
        default=None, description="Calls in flight at the same time, all workers together.", examples=[64]
    )


class PricesSection(Section):
    """Prices of one model in US dollars per million tokens; they replace the price list."""

    input: Price = Field(description="Input tokens.", examples=[0.25])
    output: Price = Field(description="Output tokens, reasoning included.", examples=[2.0])
    cache_read: Price | None = Field(
        default=None, description="Input tokens read from a cache; default: the input price.", examples=[0.025]
    )
    cache_write: Price | None = Field(
        default=None, description="Input tokens written to a cache; default: the input price.", examples=[0.25]
    )


class AutoscaleSection(Section):
    """Between how many worker processes a fleet may choose by itself."""

    min: PositiveCount = Field(default=1, description="Never fewer.", examples=[1])
    max: PositiveCount = Field(description="Never more; not below `min`.", examples=[8])


class AccountSection(Section):
    """One account: the unit that a provider limits. Two keys of one organisation are one account."""

    name: AccountName = Field(
        description="Unique; letters, digits, `.`, `_`, `-`, up to 64. It appears in results and logs.",
        examples=["openai-team-a"],
    )
    provider: Label = Field(description="A provider of the catalog or of this file, see below.", examples=["openai"])
    api_key: SecretReference | None = Field(
        default=None,
        description="Where the key is: `env:NAME` or `file:PATH`, never the key itself. A relative path starts at the "
        "folder of this file.",
        examples=["env:OPENAI_API_KEY"],
    )
    base_url: BaseUrl | None = Field(
        default=None,
        description="Where the provider's API is, up to and without `/chat/completions`; default: the catalog's.",
        examples=["http://127.0.0.1:8000/v1"],
    )
    protocol: Dialects | None = Field(
        default=None,
        description="What it is spoken to in, a dialect or a list with the preferred one first; default: the "
        "provider's. `openai` stands for `openai-chat` and `openai-embeddings`.",
        examples=[["openai-chat", "openai-embeddings"]],
    )
    models: ModelNames = Field(
        min_length=1,
        description="Logical name = name at the provider. A list of names means the same on both sides.",
        examples=[{"gpt-5-mini": "gpt-5-mini"}],
    )
    limits: LimitsSection = Field(
        default=LimitsSection(),
        description="What the account allows.",
        examples=[{"requests_per_minute": 500, "concurrency": 64}],
    )
    limit_group: Label | None = Field(
        default=None,
        description="Accounts that the provider limits together carry the same group; default: the account alone.",
        examples=["openai-org"],
    )
    charge_mode: Annotated[ChargeMode, Field(strict=False)] | None = Field(
        default=None,
        description="What counts against token limits: `actual` tokens, or `max_once` (input plus `max_tokens`, never "
        "refunded); default: the provider's.",
        examples=["actual"],
    )
    timeout_seconds: PositiveNumber = Field(
        default=600.0, description="Total time for one call, in seconds.", examples=[120]
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        description="Extra request headers, beside or instead of the provider's; never a credential.",
        examples=[{"X-HF-Bill-To": "my-org"}],
    )
    caps: dict[Label, CapsSection] = Field(
        default={},
        description="What is known better of its models, by logical model; see below.",
        examples=[{"gpt-5-mini": {"sampling": False}}],
    )
    prices: dict[Label, PricesSection] = Field(
        default={},
        description="Prices by logical model; they replace the price list.",
        examples=[{"gpt-5-mini": {"input": 0.25, "output": 2.0}}],
    )
    licence: Label | None = Field(
        default=None,
        description="What its models may be used for, where that is restricted: it serves only batches whose `--use` "
        "says just this. An account without one serves every batch.",
        examples=["non-commercial"],
    )
    workers: PositiveCount = Field(
        default=1,
        description="Worker processes of a fleet. `penstock run` has one worker per account, whatever is here.",
        examples=[2],
    )
    autoscale: AutoscaleSection | None = Field(
        default=None,
        description="Lets a fleet choose the number of worker processes; `workers` is where it begins. Default: the "
        "number stays, until `penstock scale` says otherwise.",
        examples=[{"min": 1, "max": 8}],
    )
    worker_concurrency: PositiveCount = Field(
        default=64, description="Calls in flight per worker process.", examples=[128]
    )


class RetriesSection(Section):
    """How often a job is tried again, by what went wrong. Waiting for capacity is never counted."""

    transient: Retries = Field(
        default=4, description="After overloads, server errors and timeouts that the provider reports.", examples=[4]
    )
    unknown: Retries = Field(
        default=2,
        description="After calls whose outcome is unknown and may have been paid for; 0 means at most once.",
        examples=[0],
    )
    malformed: Retries = Field(default=2, description="After answers that are incomplete or malformed.", examples=[0])


class RunSection(Section):
    """How a batch is run."""

    retries: RetriesSection = Field(
        default=RetriesSection(), description="How often a job is tried again.", examples=[{"unknown": 0}]
    )


class BrokerSection(Section):
    """The servers of a fleet. `penstock run` needs none of it; `serve`, `worker` and `fleet` need all three URLs.

    A URL with a password in it is a secret: it is referred to, as `env:NAME` or `file:PATH`.
    """

    database: DatabaseUrl | None = Field(
        default=None,
        description="The database; the client commands of this folder use it, too.",
        examples=["env:PENSTOCK_DATABASE"],
    )
    rabbitmq: AmqpUrl | None = Field(
        default=None, description="RabbitMQ, 3.10 or newer.", examples=["amqp://rabbitmq/penstock"]
    )
    redis: RedisUrl | None = Field(
        default=None, description="Redis, 7 or newer, which holds the shared limits.", examples=["redis://redis/0"]
    )
    prefix: QueuePrefix = Field(
        default="",
        description="Put before every queue and key, where several installations share servers.",
        examples=["staging."],
    )
    spool: Label | None = Field(
        default=None,
        description="A folder on a disk that outlasts the process, for answers that the database does not take; "
        "default: below the user's folder for state. Relative to the folder of this file.",
        examples=["/var/lib/penstock/spool"],
    )
    projects: dict[Label, Label] = Field(
        default={},
        description="Who may submit over AMQP: RabbitMQ user = project.",
        examples=[{"evals-team": "evals"}],
    )


class Document(Section):
    """The whole file."""

    accounts: list[AccountSection] = Field(min_length=1, description="At least one account.")
    providers: dict[ProviderName, ProviderSection] = Field(
        default={}, description="Providers that the catalog does not have, by name."
    )
    run: RunSection = Field(default=RunSection(), description="How a batch is run.")
    broker: BrokerSection = Field(default=BrokerSection(), description="The servers of a fleet.")


def known_keys(path: tuple[Any, ...]) -> dict[str, str]:
    """List the keys allowed in the table at that path of the document, with the keys nested one level below them.

    The value is what to write: `requests_per_minute` is allowed in an account as `limits.requests_per_minute`.
    """
    section: type[Section] | None = Document
    for part in path:
        if isinstance(part, str) and section is not None and part in section.model_fields:
            section = _section_of(section.model_fields[part].annotation)
    if section is None:
        return {}
    keys: dict[str, str] = {}
    for name, value in section.model_fields.items():
        nested = value.annotation
        if isinstance(nested, type) and issubclass(nested, Section):
            keys |= {key: f"{name}.{key}" for key in nested.model_fields}
    return keys | {name: name for name in section.model_fields}


def _section_of(annotation: Any) -> type[Section] | None:
    """Find the section inside `list[AccountSection]`, `dict[str, PricesSection]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _section_of(argument)
        if found is not None:
            return found
    return None

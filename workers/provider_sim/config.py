"""What a simulated provider is told: TOML or flags, checked here, and nowhere else."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic import PositiveInt as Whole

from broker.errors import ConfigError
from workers.provider_sim.fault_kinds import MAY_BE_PAID, NAMES, Family, FaultKind

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Probability
RetryHint = Literal["both", "retry-after", "retry-after-ms", "body", "none"]
RevokedForm = Literal["unknown", "forbidden"]
ExhaustedForm = Literal["spend_limit", "credit_balance"]
Engine = Literal["vllm", "llama.cpp", "ollama", "tgi", "sglang"]


class Section(BaseModel):
    """A table of the file; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class KeyConfig(Section):
    """One key, which is one account: its limits are its own."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[\x21-\x7e]+$")]
    secret: SecretStr | None = None
    """What the client sends; the name when not given."""
    requests_per_minute: PositiveFloat | None = None
    tokens_per_minute: PositiveFloat | None = None
    """Input and output together."""
    input_tokens_per_minute: PositiveFloat | None = None
    output_tokens_per_minute: PositiveFloat | None = None
    concurrency: Whole | None = None
    window_s: PositiveFloat = 60.0
    """A bucket holds what its rate gives in this many seconds."""
    start: Literal["full", "empty"] = "full"
    charge_mode: Literal["actual", "max_once"] = "actual"
    default_max_tokens: Whole = 4096
    """What `max_once` charges for output when a request names no maximum."""
    rejected_requests_count: bool = False
    retry_hint: RetryHint = "both"
    revoked_after_s: NonNegativeFloat | None = None
    """Seconds since the start from which the key is refused."""
    revoked_after_calls: Annotated[int, Field(ge=0)] | None = None
    """Admitted calls after which the key is refused."""
    revoked_form: RevokedForm = "unknown"
    """How a revoked key is refused: as one that nobody knows, or as one that may not do this."""
    exhausted_after_s: NonNegativeFloat | None = None
    """Seconds since the start from which the account's money is spent."""
    exhausted_after_calls: Annotated[int, Field(ge=0)] | None = None
    """Admitted calls after which the account's money is spent."""
    exhausted_form: ExhaustedForm = "spend_limit"
    """Whether a limit on spending was reached or prepaid credit is gone."""

    @property
    def material(self) -> str:
        """What a client sends as its key."""
        return self.name if self.secret is None else self.secret.get_secret_value()


class LatencyConfig(Section):
    """Seconds until an answer is complete: (first_token_s + output x per_token_s) x noise of mean 1."""

    first_token_s: NonNegativeFloat = 0.0
    per_token_s: NonNegativeFloat = 0.0
    sigma: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the noise."""


class OutputConfig(Section):
    """How long answers are, in tokens: log-normal."""

    mean_tokens: PositiveFloat | None = None
    """When not given, an answer is as long as its text."""
    sigma: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the length."""


class UsageConfig(Section):
    """Which parts of the usage carry a detail."""

    cached_share: Share = 0.0
    """Share of the input tokens that is reported as read from a cache."""
    cache_written_share: Share = 0.0
    """Share of the input tokens that is reported as written to a cache, of what was not read from it."""
    reasoning_share: Share = 0.0
    """Share of the output tokens that is reported as reasoning."""


class FaultsConfig(Section):
    """How often calls go wrong, and at most how often for one request."""

    probability: dict[FaultKind, Probability] = Field(default_factory=dict)
    at_most_per_request: dict[FaultKind | Family, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """By kind or by family; retries of the same body count as the same request."""
    also_paid: frozenset[FaultKind] = frozenset({FaultKind.HANG})
    """Faults that may or may not have been generated before, and are to be charged."""
    drip_interval_s: NonNegativeFloat = 1.0
    """Seconds between the bytes of a slow drip."""
    retry_after_s: NonNegativeFloat = 1.0
    """The hint that a `rate_limited` fault gives."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(self.probability.values()) > 1 + 1e-9:
            raise ValueError("the probabilities of all faults together exceed 1")
        if wrong := self.also_paid - MAY_BE_PAID:
            allowed = ", ".join(sorted(MAY_BE_PAID))
            raise ValueError(f"also_paid: {', '.join(sorted(wrong))} cannot be chosen; only {allowed}")
        return self


class SelfHostedConfig(Section):
    """How a server behaves that people run themselves; by default nothing differs."""

    engine: Engine | None = None
    """Whose pages of facts are served."""
    version: str | None = None
    """What the engine says its version is; one that it had when not given."""
    slots: Whole = 4
    """How many calls the engine says it runs at once."""
    context_window: Whole | None = None
    """Tokens that a request and its answer may have together."""
    truncate: bool = False
    """A request that is too long loses its front without a word, where it would be refused."""
    usage: Literal["reported", "missing"] = "reported"
    tool_arguments: Literal["valid", "unparsable"] = "valid"
    """Unparsable: their text is cut in half."""
    schemas: Literal["followed", "ignored"] = "followed"
    """Ignored: prose where JSON was asked for."""

    @model_validator(mode="after")
    def _has_a_window_to_cut_at(self) -> Self:
        if self.truncate and self.context_window is None:
            raise ValueError("truncate needs a context_window")
        return self


class SimConfig(Section):
    """A whole simulated provider."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0: any free port."""
    seed: int = 0
    models: tuple[str, ...] = ()
    """Any model is served when none is named; otherwise others answer 404."""
    embedding_dimensions: Annotated[int, Field(ge=1, le=4096)] = 8
    ledger: Literal["full", "counts"] = "full"
    """`counts` keeps counters only, and no row per call."""
    keys: tuple[KeyConfig, ...] = (KeyConfig(name="sim"),)
    latency: LatencyConfig = LatencyConfig()
    output: OutputConfig = OutputConfig()
    usage: UsageConfig = UsageConfig()
    faults: FaultsConfig = FaultsConfig()
    self_hosted: SelfHostedConfig = SelfHostedConfig()

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        if not self.keys:
            raise ValueError("keys: at least one key is needed")
        for what, values in (("name", [k.name for k in self.keys]), ("secret", [k.material for k in self.keys])):
            if len(set(values)) < len(values):
                raise ValueError(f"keys: two of them have the same {what}")
        return self

    @property
    def is_random(self) -> bool:
        """Whether anything depends on chance; if not, nothing is drawn."""
        return any(self.faults.probability.values()) or self.latency.sigma > 0 or self.output.sigma > 0


def read(path: Path) -> dict[str, object]:
    """Return the tables of a TOML file; raises `ConfigError` naming file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def checked(tables: dict[str, object], *, source: str) -> SimConfig:
    """Return a valid configuration; raises `ConfigError` naming every wrong key."""
    try:
        return SimConfig.model_validate(tables)
    except ValidationError as error:
        # Inputs are left out: one of them may be a secret.
        problems = "; ".join(
            _problem(details["loc"], details["type"], details["msg"])
            for details in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"{source}: {problems}") from None


def load(path: Path) -> SimConfig:
    """Return the configuration in a TOML file; raises `ConfigError`."""
    return checked(read(path), source=str(path))


def _problem(place: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in place if part != "[key]") or "file"
    if kind == "extra_forbidden":
        return f"{key}: unknown key"
    if kind == "enum" and "probability" in place:
        return f"{key}: no such fault; there are {', '.join(NAMES)}"
    return f"{key}: {message.removeprefix('Value error, ')}"

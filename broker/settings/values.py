"""What all tables of `penstock.toml` are made of: strict sections, and the kinds of their values."""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from broker.domain.dialect import OPENAI_FAMILY, Dialect
from broker.settings.checks import (
    account_name,
    auth_header,
    auth_scheme,
    base_url,
    environment_name,
    header_name,
    header_value,
    label,
    model_name,
    path_template,
    pointer,
    probe_path,
    queue_prefix,
    secret_reference,
    service_url,
)

FAMILIES = {"openai": OPENAI_FAMILY}
"""Names that stand for several dialects."""


def _price(value: object) -> object:
    """Take 0.25, 1 and "0.25" alike, the float by its shortest spelling, which is what the operator wrote."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return Decimal(str(value))
    except ArithmeticError as error:
        raise ValueError("must be a number of US dollars per million tokens") from error


def _model_names(value: object) -> object:
    """Read a plain list as the same names on both sides."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name: name for name in value}
    return value


def _dialects(value: object) -> object:
    """Read one dialect, a family of them, or a list; the order is kept."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"must be a dialect or a list of them; known are {_KNOWN}")
    found: list[Dialect] = []
    for name in names:
        if name not in (*FAMILIES, *Dialect):
            raise ValueError(f"names no dialect; known are {_KNOWN}")
        found.extend(FAMILIES.get(name) or [Dialect(name)])
    return tuple(dict.fromkeys(found))


_KNOWN = ", ".join([*Dialect, *(f"{name} ({' and '.join(family)})" for name, family in FAMILIES.items())])

Label = Annotated[str, AfterValidator(label)]
AccountName = Annotated[str, AfterValidator(account_name)]
ProviderName = Annotated[str, AfterValidator(account_name)]
SecretReference = Annotated[str, AfterValidator(secret_reference)]
EnvironmentName = Annotated[str, AfterValidator(environment_name)]
AuthHeader = Annotated[str, AfterValidator(auth_header)]
AuthScheme = Annotated[str, AfterValidator(auth_scheme)]
BaseUrl = Annotated[str, AfterValidator(base_url)]
HeaderName = Annotated[str, AfterValidator(header_name)]
HeaderValue = Annotated[str, AfterValidator(header_value)]
DatabaseUrl = Annotated[str, AfterValidator(service_url("postgresql", "sqlite"))]
AmqpUrl = Annotated[str, AfterValidator(service_url("amqp", "amqps"))]
RedisUrl = Annotated[str, AfterValidator(service_url("redis", "rediss", "unix"))]
QueuePrefix = Annotated[str, AfterValidator(queue_prefix)]
Dialects = Annotated[tuple[Dialect, ...], BeforeValidator(_dialects)]
Pointer = Annotated[str, AfterValidator(pointer)]
ProbePath = Annotated[str, AfterValidator(probe_path)]
PathTemplate = Annotated[str, AfterValidator(path_template)]
ModelName = Annotated[str, AfterValidator(model_name)]
ModelNames = Annotated[dict[ModelName, Label], BeforeValidator(_model_names)]
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveCount = Annotated[int, Field(gt=0)]
Price = Annotated[Decimal, BeforeValidator(_price), Field(ge=0, allow_inf_nan=False)]
Retries = Annotated[int, Field(ge=0, le=100)]


class Section(BaseModel):
    """A table of the file: unknown keys and wrong types are errors, and no error text quotes a value."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

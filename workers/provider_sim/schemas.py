"""What a JSON schema asks for, as far as an instance of it is to be made."""

import math

from pydantic import JsonValue

from broker.errors import BrokerError

Schema = dict[str, JsonValue]


class NotFollowed(BrokerError):
    """A schema asks for something that the simulator cannot make."""

    code = "schema_not_followed"


def type_of(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "number" if "minimum" in schema or "maximum" in schema else "string"


def bounds(schema: Schema, *, smallest_step: int) -> tuple[float | None, float | None]:
    """Return the lowest and the highest number, `None` where there is no bound; excluded bounds are moved by a step."""
    low = _highest(_plain(schema.get("minimum")), _plain(schema.get("exclusiveMinimum")), smallest_step)
    high = _highest(_minus(schema.get("maximum")), _minus(schema.get("exclusiveMaximum")), smallest_step)
    return low, None if high is None else -high


def _highest(including: float | None, excluding: float | None, step: int) -> float | None:
    if excluding is not None:
        excluding = math.floor(excluding) + step if step else excluding
    values = [value for value in (including, excluding) if value is not None]
    return max(values, default=None)


def _plain(value: JsonValue) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _minus(value: JsonValue) -> float | None:
    number = _plain(value)
    return None if number is None else -number


def merged(one: JsonValue, other: JsonValue) -> JsonValue:
    """Return a schema that asks for both, as far as their keywords do not contradict each other."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other if one is True or one == {} else one
    merged = one | other
    for name in ("properties", "$defs", "definitions"):
        first, second = one.get(name), other.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            merged[name] = first | second
    first, second = one.get("required"), other.get("required")
    if isinstance(first, list) and isinstance(second, list):
        merged["required"] = [*first, *(name for name in second if name not in first)]
    return merged


def without(schema: Schema, name: str) -> Schema:
    return {key: value for key, value in schema.items() if key != name}


def is_null(schema: JsonValue) -> bool:
    return isinstance(schema, dict) and schema.get("type") in ("null", "NULL")

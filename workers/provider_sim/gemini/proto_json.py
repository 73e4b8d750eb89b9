"""Reads proto JSON: camelCase and snake_case are the same, and a field that nobody knows is an error."""

from collections.abc import Mapping

from pydantic import JsonValue

from workers.provider_sim.gemini.errors import refused

Object = dict[str, JsonValue]

_OPAQUE = frozenset({"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "default", "example"})
"""Fields whose content is the caller's own."""
_MAPS = frozenset({"properties", "defs", "$defs"})
"""Fields whose keys are the caller's own."""


def camel_case(value: JsonValue) -> JsonValue:
    """Return the same message with every field in camelCase."""
    if isinstance(value, list):
        return [camel_case(item) for item in value]
    if not isinstance(value, dict):
        return value
    made: Object = {}
    for key, item in value.items():
        name = _camel(key)
        if name in _OPAQUE:
            made[name] = item
        elif name in _MAPS and isinstance(item, dict):
            made[name] = {own: camel_case(inner) for own, inner in item.items()}
        else:
            made[name] = camel_case(item)
    return made


def message(value: JsonValue, place: str, known: frozenset[str]) -> Mapping[str, JsonValue]:
    """Return a message whose fields are all known; raises `Refused`."""
    if not isinstance(value, dict):
        raise refused(f"Invalid value at '{place}': Expected an object.")
    if unknown := value.keys() - known:
        where = f" at '{place}'" if place else ""
        raise refused(f'Invalid JSON payload received. Unknown name "{min(unknown)}"{where}: Cannot find field.')
    return value


def messages(value: JsonValue, place: str, known: frozenset[str]) -> list[Mapping[str, JsonValue]]:
    """Return a repeated message, which may also come as one; raises `Refused`."""
    listed = value if isinstance(value, list) else [value]
    return [message(item, f"{place}[{index}]", known) for index, item in enumerate(listed)]


def whole(value: JsonValue, place: str, *, least: int, most: int) -> int:
    """Return an integer, which may come as a text; raises `Refused`."""
    number = value
    if isinstance(value, str) and value.removeprefix("-").isdecimal():
        number = int(value)
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    if not isinstance(number, int) or isinstance(number, bool):
        raise refused(f"Invalid value at '{place}' (TYPE_INT32), {value!r}")
    if not least <= number <= most:
        raise refused(f"* GenerateContentRequest.{place}: must be in the range [{least}, {most}].")
    return number


def number(value: JsonValue, place: str, *, least: float, most: float) -> float:
    """Return a number within bounds; raises `Refused`."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise refused(f"Invalid value at '{place}' (TYPE_FLOAT), {value!r}")
    if not least <= value <= most:
        raise refused(f"* GenerateContentRequest.{place}: must be in the range [{least}, {most}].")
    return value


def _camel(key: str) -> str:
    if "_" not in key:
        return key
    first, *rest = key.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)

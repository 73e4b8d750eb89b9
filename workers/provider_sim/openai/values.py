"""Reads single values of OpenAI requests; each raises `Refused` naming the parameter."""

from pydantic import JsonValue

from workers.provider_sim.openai.errors import invalid_value


def whole(param: str, value: JsonValue, *, most: int, least: int = 1) -> int:
    """Return an integer within bounds."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise invalid_value(param, f"expected an integer from {least} to {most}")


def stops(value: JsonValue) -> tuple[str, ...]:
    """Return up to four stop sequences."""
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else value
    if isinstance(listed, list) and len(listed) <= 4 and all(isinstance(one, str) for one in listed):
        return tuple(str(one) for one in listed)
    raise invalid_value("stop", "expected a string or up to 4 strings")


def or_else(value: JsonValue, default: JsonValue) -> JsonValue:
    """Return the default for a value that is null or not given, which are the same here."""
    return default if value is None else value

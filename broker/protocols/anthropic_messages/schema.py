"""JSON schemas as Anthropic's structured outputs take them: closed objects, and no bounds.

Source: Anthropic guide "Structured outputs", JSON Schema limitations.
"""

from collections.abc import Mapping
from typing import Any

from broker.protocols.losses import Losses

_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)
_UNSUPPORTED = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "propertyNames",
        "prefixItems",
        "additionalItems",
        "unevaluatedItems",
        "unevaluatedProperties",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "if",
        "then",
        "else",
        "not",
    }
)
_MAPS = frozenset({"properties", "$defs", "definitions"})
_LISTS = frozenset({"anyOf", "allOf"})
_DEEPEST = 64


def fitted(schema: Mapping[str, object], path: str, losses: Losses) -> dict[str, object]:
    """The schema as Anthropic takes it. What it cannot hold is left out, and each keyword of that kind is noted once.

    An object that does not say whether it is closed is closed: whatever the model answers then fits the schema as it
    was. Key order stays.
    """
    fit = _Fit()
    result = fit.schema(schema, "#", 0)
    for keyword, where in fit.lost.items():
        losses.sampling(path, "schema_keyword", f"the target does not hold an answer to {keyword} (at {where})")
    if fit.too_deep is not None:
        losses.content(path, "schema_too_deep", f"the schema is nested too deeply (at {fit.too_deep[:200]})")
    if fit.closed is not None:
        what = f"the target takes closed objects only, so the open ones are closed (first at {fit.closed})"
        losses.converted(path, "schema_closed", what)
    return result


def conforms(schema: Mapping[str, object]) -> bool:
    """Whether Anthropic takes a schema as strict, exactly as it is."""
    fit = _Fit()
    fit.schema(schema, "#", 0)
    return not fit.lost and fit.closed is None and fit.too_deep is None


class _Fit:
    """Walks a schema once."""

    __slots__ = ("closed", "lost", "too_deep")

    def __init__(self) -> None:
        self.lost: dict[str, str] = {}
        """Keywords that were left out, and where first."""
        self.closed: str | None = None
        self.too_deep: str | None = None

    def schema(self, schema: Mapping[str, Any], at: str, depth: int) -> dict[str, object]:
        if depth > _DEEPEST:
            self.too_deep = at
            return {}
        result: dict[str, object] = {}
        for key, value in schema.items():
            if key in _UNSUPPORTED:
                self._lose(key, at)
            elif key in _MAPS and isinstance(value, dict):
                result[key] = {name: self._any(inner, f"{at}/{key}/{name}", depth) for name, inner in value.items()}
            elif key in _LISTS and isinstance(value, list):
                result[key] = self._all(value, f"{at}/{key}", depth)
            elif key == "items":
                result[key] = self._any(value, f"{at}/items", depth)
            elif key == "oneOf" and isinstance(value, list) and "anyOf" not in schema:
                self._lose(key, at)
                result["anyOf"] = self._all(value, f"{at}/oneOf", depth)
            elif (
                key == "oneOf"
                or (key == "minItems" and value not in (0, 1))
                or (key == "format" and not (isinstance(value, str) and value in _FORMATS))
            ):
                self._lose(key, at)
            else:
                result[key] = value
        self._close(schema, result, at)
        return result

    def _close(self, schema: Mapping[str, Any], result: dict[str, object], at: str) -> None:
        kind = schema.get("type")
        properties = schema.get("properties")
        if not (kind == "object" or (isinstance(kind, list) and "object" in kind) or isinstance(properties, dict)):
            return
        open_to = schema.get("additionalProperties")
        if open_to is False:
            return
        if open_to is None and properties:
            self.closed = self.closed or at
        else:  # it is meant to be open: for names that only the model will know
            self._lose("additionalProperties", at)
        result["additionalProperties"] = False

    def _any(self, value: object, at: str, depth: int) -> object:
        if isinstance(value, dict):
            return self.schema(value, at, depth + 1)
        return value

    def _all(self, values: list[Any], at: str, depth: int) -> list[object]:
        return [self._any(value, f"{at}/{index}", depth) for index, value in enumerate(values)]

    def _lose(self, keyword: str, at: str) -> None:
        self.lost.setdefault(keyword, at)

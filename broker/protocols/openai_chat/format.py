"""The form that an answer must have, in OpenAI's words and in vLLM's: read and written."""

from collections.abc import Iterator

from broker.domain.caps import Caps
from broker.protocols.canonical.request import Format, FormatKind, Unmapped
from broker.protocols.fields import Object, an_object, flag, string, unknown
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.strict_schema import is_closed

FIELDS = frozenset({"response_format", "structured_outputs", "guided_json"})
"""OpenAI's; vLLM's from 0.12 on, and before."""
_SCHEMA_NAME = "output"
_FORMAT_KEYS = frozenset({"type", "json_schema"})
_SCHEMA_KEYS = frozenset({"name", "description", "schema", "strict"})
_STRUCTURED_KEYS = frozenset({"json"})


def read_format(body: Object, unmapped: list[Unmapped]) -> Format | None:
    """Read the form that was asked for; raises `MalformedRequest`."""
    if FIELDS.isdisjoint(body):
        return None
    found = _response_format(body, unmapped)
    if found is None or found.kind is FormatKind.TEXT:
        return _of_vllm(body, unmapped) or found
    unmapped += unknown({name: body.get(name) for name in sorted(FIELDS)}, frozenset({"response_format"}))
    return found


def _response_format(body: Object, unmapped: list[Unmapped]) -> Format | None:
    wanted = an_object(body, "response_format")
    if wanted is None:
        return None
    path = "/response_format"
    unmapped += unknown(wanted, _FORMAT_KEYS, path)
    match wanted.get("type"):
        case "text":
            return Format(kind=FormatKind.TEXT, path=path)
        case "json_object":
            return Format(kind=FormatKind.JSON_OBJECT, path=path)
        case "json_schema":
            schema = an_object(wanted, "json_schema", path)
            at = f"{path}/json_schema"
            if schema is None:
                raise MalformedRequest(at, "is missing")
            unmapped += unknown(schema, _SCHEMA_KEYS, at)
            return Format(
                kind=FormatKind.JSON_SCHEMA,
                name=string(schema, "name", at),
                description=string(schema, "description", at),
                schema=an_object(schema, "schema", at),
                strict=flag(schema, "strict", at),
                path=path,
            )
        case _:
            raise MalformedRequest(f"{path}/type", "must be text, json_object or json_schema")


def _of_vllm(body: Object, unmapped: list[Unmapped]) -> Format | None:
    """A schema in vLLM's own fields; what else these can hold (a choice, a pattern, a grammar) is nobody else's."""
    structured = body.get("structured_outputs")
    if isinstance(structured, dict):
        unmapped += unknown(structured, _STRUCTURED_KEYS, "/structured_outputs")
        schema, path = structured.get("json"), "/structured_outputs/json"
    else:
        unmapped += unknown({"structured_outputs": structured}, frozenset())
        schema, path = body.get("guided_json"), "/guided_json"
    if isinstance(schema, dict):
        return Format(kind=FormatKind.JSON_SCHEMA, schema=schema, path=path)
    at, _, name = path.rpartition("/")
    unmapped += unknown({name: schema}, frozenset(), at)
    return None


def write_format(wanted: Format, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    """Write the form as a member of the body."""
    if wanted.kind is FormatKind.TEXT:
        return
    if wanted.kind is FormatKind.JSON_OBJECT:
        yield "response_format", {"type": "json_object"}
        return
    if not caps.structured_output:
        losses.sampling(wanted.path, "unsupported_field", "the target does not follow a JSON schema")
        return
    match caps.structured_output_field:
        case "response_format":
            yield "response_format", {"type": "json_schema", "json_schema": _schema(wanted, losses)}
        case "structured_outputs":  # vLLM from 0.12 on
            yield "structured_outputs", {"json": wanted.schema or {}}
        case field:  # `guided_json` of older ones
            yield field, wanted.schema or {}


def _schema(wanted: Format, losses: Losses) -> dict[str, object]:
    schema: dict[str, object] = {"name": wanted.name or _SCHEMA_NAME}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.schema is not None:
        schema["schema"] = wanted.schema
    if wanted.strict and not is_closed(wanted.schema):
        what = "strict needs a schema whose objects are closed and require all their properties; it is left out"
        losses.hint(wanted.path, "strict_dropped", what)
    elif wanted.strict is not None:
        schema["strict"] = wanted.strict
    return schema

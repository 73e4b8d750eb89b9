"""Reads the tools of a request and the choice among them."""

import re
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from workers.provider_sim.gemini import fields
from workers.provider_sim.gemini.errors import refused
from workers.provider_sim.gemini.proto_json import message, messages
from workers.provider_sim.wishes import Choice, Tool

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_TYPES = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL", "TYPE_UNSPECIFIED"})
_MODES = frozenset({"AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED"})


def read_tools(listed: JsonValue) -> tuple[Tool, ...]:
    """Return the functions that may be called; raises `Refused`."""
    if listed is None:
        return ()
    tools: list[Tool] = []
    for index, entry in enumerate(messages(listed, "tools", fields.TOOL)):
        if hosted := entry.keys() - {"functionDeclarations"}:
            raise refused(f"tools[{index}].{min(hosted)} is not simulated.")
        place = f"tools[{index}].function_declarations"
        declared = entry.get("functionDeclarations")
        for nth, one in enumerate(messages(declared, place, fields.DECLARATION) if declared is not None else ()):
            tools.append(_function(one, f"{place}[{nth}]"))
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise refused(f"Duplicate function declaration found: {twice}")
    return tuple(tools)


def _function(declared: Mapping[str, JsonValue], place: str) -> Tool:
    name = declared.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise refused(
            f"* GenerateContentRequest.{place}.name: [{place}.name]: Invalid function name. Must start with a letter "
            "or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes "
            "(-), with a maximum length of 128."
        )
    subset, whole = declared.get("parameters"), declared.get("parametersJsonSchema")
    if subset is not None and whole is not None:
        raise refused(f"* GenerateContentRequest.{place}: parameters and parameters_json_schema may not both be set.")
    if subset is not None:
        check_schema(subset, f"{place}.parameters")
        if isinstance(subset, dict) and str(subset.get("type")).upper() == "OBJECT" and not subset.get("properties"):
            raise refused(
                f"* GenerateContentRequest.{place}.parameters.properties: should be non-empty for OBJECT type"
            )
    if whole is not None and (not isinstance(whole, dict) or whole.get("type") != "object"):
        raise refused(f"* GenerateContentRequest.{place}.parameters_json_schema: schema type must be object")
    return Tool(name=name, schema=subset if whole is None else whole)


def read_choice(config: JsonValue, tools: Sequence[Tool]) -> Choice:
    """Return how free the answer is; raises `Refused`."""
    given = message(config, "tool_config", fields.TOOL_CONFIG).get("functionCallingConfig") if config else None
    if given is None:
        return Choice()
    place = "tool_config.function_calling_config"
    calling = message(given, place, fields.CALLING)
    mode, names = str(calling.get("mode", "AUTO")).upper(), calling.get("allowedFunctionNames") or []
    if mode not in _MODES:
        raise refused(f"Invalid value at '{place}.mode' (FunctionCallingMode), {mode!r}")
    if not isinstance(names, list):
        raise refused(f"Invalid value at '{place}.allowed_function_names'.")
    if names and mode not in {"ANY", "VALIDATED"}:
        raise refused("Function calling config is set with allowed_function_names, which needs mode ANY.")
    known = {tool.name for tool in tools}
    if missing := [one for one in names if one not in known]:
        raise refused(f"allowed_function_names: {missing[0]} is not among the function declarations.")
    if mode == "ANY" and not tools:
        raise refused("Function calling config is set without function_declarations.")
    chosen = tuple(str(name) for name in names)
    match mode:
        case "ANY":
            return Choice(mode="required", names=chosen)
        case "NONE":
            return Choice(mode="none")
    return Choice(names=chosen)


def check_schema(schema: JsonValue, place: str) -> None:
    """Check a schema of the OpenAPI subset; raises `Refused` for every keyword that it does not have."""
    known = message(schema, place, fields.SCHEMA)
    kind = known.get("type")
    if kind is not None and (not isinstance(kind, str) or kind.upper() not in _TYPES):
        raise refused(f"Invalid value at '{place}.type' (Type), {kind!r}")
    options = known.get("enum")
    if isinstance(options, list) and not all(isinstance(option, str) for option in options):
        raise refused(f"Invalid value at '{place}.enum' (TYPE_STRING)")
    properties = known.get("properties")
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        check_schema(inner, f"{place}.properties[{name}]")
    required = known.get("required")
    for index, one in enumerate(required if isinstance(required, list) else ()):
        if not isinstance(properties, dict) or one not in properties:
            raise refused(f"* GenerateContentRequest.{place}.required[{index}]: property is not defined")
    if str(kind).upper() == "ARRAY" and known.get("items") is None:
        raise refused(f"* GenerateContentRequest.{place}.items: missing field.")
    if known.get("items") is not None:
        check_schema(known["items"], f"{place}.items")
    any_of = known.get("anyOf")
    for index, option in enumerate(any_of if isinstance(any_of, list) else ()):
        check_schema(option, f"{place}.any_of[{index}]")


def check_references(schema: JsonValue, place: str) -> None:
    """Check that no reference of a JSON schema has anything beside it; raises `Refused`."""
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            check_references(item, f"{place}[{index}]")
    if not isinstance(schema, dict):
        return
    if "$ref" in schema and (beside := [name for name in schema if not name.startswith("$")]):
        raise refused(f"* GenerateContentRequest.{place}: $ref may not be set together with {beside[0]}")
    for name, inner in schema.items():
        check_references(inner, f"{place}.{name}")

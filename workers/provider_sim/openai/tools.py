"""Reads tools, the choice among them, and formats of answers, as chat completions and responses say them."""

import re
from collections.abc import Sequence

from pydantic import JsonValue

from workers.provider_sim.openai.errors import invalid_value, refused
from workers.provider_sim.openai.strict_schemas import complaint
from workers.provider_sim.wishes import Choice, Tool

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
Object = dict[str, JsonValue]


def read_tools(listed: JsonValue, *, is_nested: bool) -> tuple[Tool, ...]:
    """Return the functions that may be called; `is_nested`: as chat completions write them. Raises `Refused`."""
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise invalid_value("tools", "expected an array of tools")
    tools: list[Tool] = []
    for index, entry in enumerate(listed):
        place = f"tools[{index}]"
        if not isinstance(entry, dict) or "type" not in entry:
            raise refused(
                f"Missing required parameter: '{place}.type'.", param=place, code="missing_required_parameter"
            )
        if entry["type"] != "function":
            raise refused(f"Tools of type '{entry['type']}' are not simulated.", param=place, code="unsupported_value")
        function = entry.get("function") if is_nested else entry
        tools.append(_function(function, f"{place}.function" if is_nested else place))
    return tuple(tools)


def _function(function: JsonValue, place: str) -> Tool:
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise refused(f"Missing required parameter: '{place}.name'.", param=place, code="missing_required_parameter")
    if not _NAME.fullmatch(name):
        raise invalid_value(f"{place}.name", r"string does not match pattern '^[a-zA-Z0-9_-]{1,64}$'")
    schema = function.get("parameters")
    if schema is not None and not isinstance(schema, dict):
        raise invalid_value(f"{place}.parameters", "expected an object")
    if schema and schema.get("type") != "object":
        message = f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'."
        raise refused(message, param=f"{place}.parameters", code="invalid_function_parameters")
    if function.get("strict") and (why := complaint(schema or {})):
        message = f"Invalid schema for function '{name}': {why}"
        raise refused(message, param=f"{place}.parameters", code="invalid_function_parameters")
    return Tool(name=name, schema=schema)


def read_choice(choice: JsonValue, tools: Sequence[Tool], *, is_nested: bool) -> Choice:
    """Return how free the answer is; raises `Refused`."""
    if choice is None:
        return Choice()
    if not tools and choice != "none":
        raise refused("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if choice == "auto":
        return Choice()
    if choice in ("none", "required"):
        return Choice(mode="none" if choice == "none" else "required")
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and kind == "function":
        return Choice(mode="required", names=(_chosen(choice, tools, is_nested=is_nested),))
    if isinstance(choice, dict) and kind == "allowed_tools":
        return _subset(choice, tools, is_nested=is_nested)
    raise invalid_value("tool_choice", "expected 'none', 'auto', 'required' or a tool")


def _subset(choice: Object, tools: Sequence[Tool], *, is_nested: bool) -> Choice:
    given = choice.get("allowed_tools") if is_nested else choice
    subset = given if isinstance(given, dict) else {}
    mode, listed = subset.get("mode"), subset.get("tools")
    if not isinstance(listed, list) or not listed or mode not in ("auto", "required"):
        raise invalid_value("tool_choice", "expected a mode and tools")
    names = tuple(_chosen(one, tools, is_nested=is_nested) for one in listed)
    return Choice(mode="required" if mode == "required" else "auto", names=names)


def _chosen(choice: JsonValue, tools: Sequence[Tool], *, is_nested: bool) -> str:
    function = choice.get("function") if is_nested and isinstance(choice, dict) else choice
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or name not in {tool.name for tool in tools}:
        raise invalid_value("tool_choice", f"tool choice '{name}' not found in 'tools' parameter")
    return name


def read_format(given: JsonValue, place: str, *, is_nested: bool, says_json: bool) -> tuple[bool, JsonValue]:
    """Return whether JSON is wanted, and under which schema; raises `Refused`.

    `says_json`: whether the messages mention JSON, without which any object may not be asked for.
    """
    if given is None:
        return False, None
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(given, dict) or kind not in ("text", "json_object", "json_schema"):
        raise invalid_value(place, "supported types are 'json_object', 'json_schema' and 'text'")
    if kind == "json_object" and "schema" not in given and not says_json:
        message = f"'messages' must contain the word 'json' in some form, to use '{place}' of type 'json_object'."
        raise refused(message, param=place)
    if kind != "json_schema":
        # llama.cpp takes the schema here.
        return kind == "json_object", given.get("schema")
    asked = given.get("json_schema") if is_nested else given
    if not isinstance(asked, dict) or not isinstance(asked.get("name"), str) or not _NAME.fullmatch(str(asked["name"])):
        raise refused(f"Missing required parameter: '{place}.name'.", param=place, code="missing_required_parameter")
    schema = asked.get("schema")
    if not isinstance(schema, dict):
        raise refused(f"Missing required parameter: '{place}.schema'.", param=place, code="missing_required_parameter")
    if asked.get("strict") and (why := complaint(schema)):
        raise refused(f"Invalid schema for response_format '{asked['name']}': {why}", param=place)
    return True, schema

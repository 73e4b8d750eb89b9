"""What a response repeats of its request: settings that the producer gave, and the defaults of those it did not."""

from broker.protocols.codec import Json

_NUMBERS = {"temperature": 1.0, "top_p": 1.0, "top_logprobs": 0, "max_output_tokens": None, "max_tool_calls": None}
_TEXTS = ("instructions", "user", "safety_identifier", "prompt_cache_key")
_CHOICES = frozenset({"auto", "none", "required"})


def echoed(request: Json) -> dict[str, object]:
    """The members of a response that say how it was asked for; never raises, whatever the request is."""
    written: dict[str, object] = {
        "background": False,
        "metadata": _metadata(request.get("metadata")),
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": _reasoning(request.get("reasoning")),
        "text": _text(request.get("text")),
        "tool_choice": _tool_choice(request.get("tool_choice")),
        "tools": _tools(request.get("tools")),
        "truncation": "auto" if request.get("truncation") == "auto" else "disabled",
    }
    for name, default in _NUMBERS.items():
        given = request.get(name)
        written[name] = given if type(given) in (int, float) else default
    for name in _TEXTS:
        given = request.get(name)
        written[name] = given if isinstance(given, str) else None
    return written


def _metadata(given: object) -> dict[str, object]:
    return {key: value for key, value in given.items() if isinstance(value, str)} if isinstance(given, dict) else {}


def _reasoning(given: object) -> dict[str, object]:
    given = given if isinstance(given, dict) else {}
    return {name: given[name] if isinstance(given.get(name), str) else None for name in ("effort", "summary")}


def _text(given: object) -> dict[str, object]:
    given = given if isinstance(given, dict) else {}
    wanted, verbosity = given.get("format"), given.get("verbosity")
    written: dict[str, object] = {"format": wanted if isinstance(wanted, dict) else {"type": "text"}}
    if isinstance(verbosity, str):
        written["verbosity"] = verbosity
    return written


def _tool_choice(given: object) -> object:
    if isinstance(given, dict) and isinstance(given.get("type"), str):
        return given
    return given if isinstance(given, str) and given in _CHOICES else "auto"


def _tools(given: object) -> list[object]:
    tools = given if isinstance(given, list) else []
    return [tool for tool in tools if isinstance(tool, dict) and isinstance(tool.get("type"), str)]

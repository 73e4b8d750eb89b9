"""Turns what is wrong with a document into text that names file, line, key and remedy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from broker.catalog.lookup import nearest
from broker.errors import ConfigError
from broker.settings.positions import Path, nearest_line
from broker.settings.schema import known_keys

_WORDS = {
    "greater_than": "must be greater than {gt:g}; leave the key out if it is not known",
    "greater_than_equal": "must not be below {ge}",
    "less_than_equal": "must not be above {le:g}",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "decimal_type": "must be a number of US dollars per million tokens",
    "decimal_parsing": "must be a number of US dollars per million tokens",
    "bool_type": "must be true or false",
    "dict_type": 'must be a table, like {{ "key" = "value" }}',
    "model_type": "must be a table, like {{ key = value }}",
    "enum": "must be {expected}",
}
"""Our words for what pydantic finds, by its error type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something to put right: where it is in the document, and what to do. `why` never quotes a possible secret."""

    path: Path
    why: str


def refusal(file: str, lines: Mapping[Path, int], problems: Iterable[Problem]) -> ConfigError:
    """Make one error that lists every problem, a line each, in the order of the file."""
    located = [(nearest_line(lines, problem.path), _words(problem)) for problem in dict.fromkeys(problems)]
    return ConfigError("\n".join(f"{file}:{line}: {words}" for line, words in sorted(located)))


def problems_of(error: ValidationError) -> list[Problem]:
    """Tell what pydantic found, in the operator's words."""
    found = error.errors(include_input=False, include_url=False)
    return [Problem(path=_document_path(entry["loc"]), why=_why(entry)) for entry in found]


def _why(entry: Any) -> str:
    kind, path, context = entry["type"], _document_path(entry["loc"]), entry.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return _missing_key(path)
    if kind == "too_short":
        return "must not be empty; name at least one" if path[-1] != "accounts" else _NO_ACCOUNTS
    if kind == "list_type":
        return "must be written as [[accounts]], with double brackets, once per account"
    if kind == "value_error":
        return str(context["error"])
    words = _WORDS.get(kind)
    return words.format(**context) if words else str(entry["msg"])


_NO_ACCOUNTS = "no accounts; add an [[accounts]] table, or let `penstock init` write one"


def _missing_key(path: Path) -> str:
    return _NO_ACCOUNTS if path == ("accounts",) else f"is missing; add `{path[-1]} = …`"


def _unknown_key(path: Path) -> str:
    known = known_keys(path[:-1])
    name = str(path[-1])
    here = {key for key, written in known.items() if key == written}
    if name in known:
        return f"unknown key; write it as `{known[name]}`"
    close = nearest(name, known)
    if close:
        return f"unknown key; did you mean `{known[close]}`?"
    return f"unknown key; known are {', '.join(sorted(here))}"


def _document_path(location: tuple[int | str, ...]) -> Path:
    """Drop the trailing `[key]` with which pydantic marks that a dictionary's key is meant, not its value."""
    return location[:-1] if location and location[-1] == "[key]" else location


def _words(problem: Problem) -> str:
    return f"{_dotted(problem.path)}: {problem.why}" if problem.path else problem.why


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if part.replace("_", "").replace("-", "").isalnum() else f'"{part}"'
            text += f".{shown}" if text else shown
    return text

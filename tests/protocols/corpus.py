"""Responses of providers as data: what came, and what it must be understood as.

A file per dialect and kind, called after the dialect: a list of objects with `name`, `status`, `headers` (lower case),
`body` (a string is the text itself, anything else a JSON value), `class`, `scope`, `wait_s` and `source`. Where needed
also `now` (seconds since the epoch), `request` (the body that was sent) and `usage` (input and output tokens that were
reported beside the error, or null).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from broker.domain.dialect import Dialect

HERE = Path(__file__).parent
KEYS = {"name", "status", "headers", "body", "class", "scope", "wait_s", "source"}
MORE_KEYS = {"now", "request", "usage"}


def files(kind: str) -> list[Path]:
    return sorted((HERE / kind).glob("*.json"))


def entries(path: Path) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return value


def cases(kind: str) -> list[Any]:
    """Every case of a kind as a pytest parameter: its dialect and itself."""
    return [
        pytest.param(Dialect(path.stem), case, id=f"{path.stem}: {case['name']}")
        for path in files(kind)
        for case in entries(path)
    ]


def raw(body: Any) -> bytes:
    return (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "surrogatepass")

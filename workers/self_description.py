"""Reads what a self-hosted server says of itself on its own pages. Pure.

Which pages there are, and where on them to look, is in the catalog.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from broker.domain.provider import ProbePage
from broker.redaction import excerpt
from workers.capabilities import Capabilities

_LONGEST_NAME = 256
_LARGEST = 1 << 40
"""A number above this is no count of tokens or calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One page as it was answered."""

    page: ProbePage
    body: bytes
    of_model: str | None = None
    """The model that was asked about; `None`: the page is about the server."""


def described(pages: Sequence[Told], *, engine: str, any_model: bool) -> Capabilities:
    """Put together what a server's pages say; what is odd on them is not said. Never raises.

    `engine` is what runs there if it tells its version where this one does. `any_model`: it has one model, whatever
    that is called in a request.
    """
    version: str | None = None
    slots: int | None = None
    models: set[str] = set()
    windows: dict[str, int] = {}
    lists_all = False
    for told in pages:
        page, value = told.page, _parsed(told.body)
        version = _name(_found(value, page.version)) or version
        slots = _count(_found(value, page.slots)) or slots
        items = _items(value, page)
        names = [_name(_found(item, page.model)) for item in items]
        models.update(name for name in names if name is not None)
        lists_all = lists_all or (page.lists_all and bool(names) and None not in names)
        for item, name in zip(items, names, strict=True):
            window = _count(_found(item, page.context_window))
            about = "" if any_model else name or told.of_model or ""
            if window is not None and (about or any_model or page.items is None):
                windows[about] = window
    return Capabilities(
        engine=engine if version is not None else None,
        version=version,
        models=frozenset(models),
        lists_all=lists_all and not any_model,
        context_windows=windows,
        slots=slots,
    )


def _items(value: object, page: ProbePage) -> Sequence[object]:
    if page.items is None:
        return [value]
    items = _found(value, page.items)
    return items if isinstance(items, list) else []


def _found(value: object, pointer: str | None) -> object:
    """Follow a JSON pointer; `None` where it leads nowhere, or there is none."""
    if pointer is None:
        return None
    for step in pointer.split("/")[1:]:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, str):
            value = _after(step, value.splitlines())
        elif isinstance(value, list) and step.isascii() and step.isdecimal():
            value = value[int(step)] if len(step) < len(str(_LARGEST)) and int(step) < len(value) else None
        else:
            return None
    return value


def _after(word: str, lines: Iterable[str]) -> str | None:
    """What stands behind a word that begins a line."""
    return next((rest[0] for first, *rest in map(str.split, filter(str.strip, lines)) if first == word and rest), None)


def _count(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(_LARGEST)):
        value = int(value)
    return value if type(value) is int and 0 < value <= _LARGEST else None


def _name(value: object) -> str | None:
    return excerpt(value, _LONGEST_NAME) or None if isinstance(value, str) else None


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None

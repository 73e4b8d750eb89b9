"""JSON as it comes: read fast, and with patience where only the fast parser objects."""

import json
from typing import Never

import orjson


def parsed(body: bytes) -> object:
    r"""Read a JSON value; raises `ValueError`.

    Half a surrogate pair (`"\ud83d"`, an emoji that a token limit cut) is legal JSON that orjson refuses. A string
    that holds one can be neither stored nor printed as it is: only the bytes are passed on.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as refused:
        if b"\\u" not in body:  # nothing that a second look would see in another light
            raise
        return _patiently(body, refused)


def _patiently(body: bytes, refused: ValueError) -> object:
    try:
        value: object = json.loads(body.decode(), parse_constant=_no_constant)
    except RecursionError:
        raise refused from None
    return value


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")

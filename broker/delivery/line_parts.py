"""What the result lines of all forms are made of."""

import orjson

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.result import ResultLine
from broker.protocols.exact_json import parsed

_CLASSES = {error_class.value: error_class for error_class in ErrorClass}
_OURS = frozenset({"unrecordable", "result_too_large"})
"""Codes of answers that were there, and could not be kept or sent."""
_UNKNOWN_MODEL = "unknown_model"


def one_line(body: bytes) -> bytes:
    """A body as a JSON value in one line, byte for byte but for its line breaks.

    Line breaks in JSON are white space between tokens: a space says the same. A body that is no JSON is quoted.
    """
    body = body.strip().replace(b"\r", b" ").replace(b"\n", b" ")
    if body[:1] in (b"{", b"["):
        try:
            parsed(body)
        except ValueError:
            pass
        else:
            return body
    return orjson.dumps(body.decode(errors="replace"))


def warnings_member(line: ResultLine) -> bytes:
    """The last member of a line, with the comma before it: what was lost in translation; nothing where nothing was."""
    return b"" if line.warnings is None else b',"warnings":%b' % line.warnings.encode()


def error_object(body: bytes) -> dict[str, object] | None:
    """The object under `error` of a body that tells an error, as every vendor's does; else `None`."""
    try:
        value = parsed(body)
    except ValueError:
        return None
    told = value.get("error") if isinstance(value, dict) else None
    return told if isinstance(told, dict) else None


def told_error(line: ResultLine) -> CallError:
    """Why there is no answer, for a form whose own words for it are to be found; our code stands in the message."""
    code = line.error_code or ErrorClass.SERVER_ERROR
    said = line.error_message or "there is no answer"
    return CallError(error_class=_class_of(code, line.status), scope=Scope.NEVER, message=f"{said} ({code})")


def _class_of(code: str, status: int | None) -> ErrorClass:
    known = _CLASSES.get(code)
    if known is not None:
        return known
    if code == _UNKNOWN_MODEL:
        return ErrorClass.NOT_FOUND
    if code in _OURS or (status is not None and not 400 <= status < 500):
        return ErrorClass.SERVER_ERROR
    return ErrorClass.INVALID_REQUEST  # a row that did not validate, or that a provider refused

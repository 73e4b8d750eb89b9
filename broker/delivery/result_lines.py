"""Result lines in the form of the batch that they belong to."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from broker.delivery import anthropic_lines, gemini_lines, openai_lines
from broker.domain.form import BatchForm
from broker.domain.result import ResultLine, ResultState

WriteLine = Callable[[ResultLine], bytes]
"""Writes a result as one line, with its line feed."""
_HEAD_BYTES = 4096
"""A name has at most 512 characters, of six bytes each where they are escaped."""
_NAME = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|null', re.DOTALL)
_NAMED = (
    (anthropic_lines.LINE_BEGINS, (anthropic_lines.AFTER_NAME,)),
    (gemini_lines.LINE_BEGINS, gemini_lines.AFTER_NAME),
)


def writer_of(form: BatchForm) -> WriteLine:
    """What writes the results of a batch of this form."""
    match form:
        case BatchForm.OPENAI:
            return openai_lines.output_line
        case BatchForm.ANTHROPIC:
            return anthropic_lines.output_line
        case BatchForm.GEMINI:
            return gemini_lines.output_line
        case _:
            assert_never(form)


def is_error(line: ResultLine) -> bool:
    """Whether the line belongs to the error file."""
    return line.state != ResultState.SUCCEEDED


def holds_results(path: Path) -> bool:
    """Whether a file is ours to write again: it is not there, empty, or begins as result lines of some form do."""
    if not path.is_file():
        return True
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return _begins(openai_lines.LINE_BEGINS, head) or any(
        _begins_with_name(head, begins, behind) for begins, behind in _NAMED
    )


def _begins(expected: bytes, head: bytes) -> bool:
    """Whether the head begins so, or is cut off within that beginning."""
    return head.startswith(expected) or expected.startswith(head)


def _begins_with_name(head: bytes, begins: bytes, behind: tuple[bytes, ...]) -> bool:
    """The same for lines whose beginning is also that of many an input: what follows the name tells."""
    if not head.startswith(begins):
        return begins.startswith(head)
    name = _NAME.match(head, len(begins))
    if name is None:  # cut off within the name
        return (
            b"\n" not in head and len(head) < _HEAD_BYTES and head[len(begins) : len(begins) + 1] in (b'"', b"n", b"")
        )
    rest = head[name.end() :]
    return any(_begins(expected, rest) for expected in behind)

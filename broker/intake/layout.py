"""How an input is written: in whose form its rows are, line by line or all in one object; told, or seen by itself."""

from collections.abc import Container, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice

from broker.domain.dialect import Dialect
from broker.domain.form import BatchForm, form_of
from broker.domain.job import Endpoint
from broker.intake.problems import Unit
from broker.intake.requests_object import AROUND_BYTES, open_requests, start_of_requests
from broker.intake.row_syntax import readable_keys
from broker.intake.source import Line, Source, open_content, open_lines, read_errors, without_bom

_LOOKED_AT = 100
"""Rows at most: the first of them that can be told decides."""
_TELLING: Mapping[str, BatchForm] = {
    "body": BatchForm.OPENAI,
    "url": BatchForm.OPENAI,
    "params": BatchForm.ANTHROPIC,
    "request": BatchForm.GEMINI,
}
_ENDPOINTS: Mapping[Dialect, Endpoint] = {
    Dialect.OPENAI_CHAT: Endpoint.CHAT_COMPLETIONS,
    Dialect.OPENAI_RESPONSES: Endpoint.RESPONSES,
    Dialect.OPENAI_EMBEDDINGS: Endpoint.EMBEDDINGS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the rows of an input are written, and what stands for what they leave out."""

    form: BatchForm = BatchForm.OPENAI
    unit: Unit = Unit.LINE
    """A line each, or the elements of `requests` of one JSON object."""
    endpoint: Endpoint | None = None
    """What is meant by OpenAI lines without `url` and `method`."""
    model: str | None = None
    """The model of rows that name none; those that name one must name this one."""


LINES_OF_OPENAI = Layout()


def told_layout(dialect: Dialect, *, model: str | None = None, unit: Unit = Unit.LINE) -> Layout:
    """The layout of rows whose requests are said to be in this dialect."""
    return Layout(form=form_of(dialect), unit=unit, endpoint=_ENDPOINTS.get(dialect), model=model)


def layout_of(source: Source, *, dialect: Dialect | None = None, model: str | None = None) -> Layout:
    """The layout of an input, its form told by `dialect` or else by the keys of its first row. Reads the source.

    An input that tells nothing counts as lines of OpenAI's: what is wrong with its rows is said then. Raises
    `CallerError` when the source cannot be read.
    """
    with open_content(source) as content, read_errors(source.name):
        head = without_bom(content.read(AROUND_BYTES), source.name)
    unit = Unit.LINE if start_of_requests(head) is None else Unit.REQUEST
    if dialect is not None:
        return told_layout(dialect, model=model, unit=unit)
    with open_rows(source, unit) as rows:
        forms = (form_told_by(readable_keys(row.content)) for row in islice(rows, _LOOKED_AT))
        form = next((form for form in forms if form is not None), BatchForm.OPENAI)
    return Layout(form=form, unit=unit, model=model)


def open_rows(source: Source, unit: Unit) -> AbstractContextManager[Iterator[Line]]:
    """The rows of a source, in order; raises `CallerError`, also while they are being read."""
    return open_lines(source) if unit is Unit.LINE else open_requests(source)


def form_told_by(keys: Container[str]) -> BatchForm | None:
    """The form of a row with these keys, if they tell one."""
    return next((form for key, form in _TELLING.items() if key in keys), None)

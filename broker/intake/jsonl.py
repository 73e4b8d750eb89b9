"""Rows of a batch file, checked: lines or requests in the form of OpenAI's, Anthropic's or Gemini's batch API."""

from collections.abc import Callable, Generator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, assert_never

from broker.domain.form import BatchForm
from broker.domain.job import Endpoint
from broker.errors import CallerError
from broker.intake.forms import anthropic_entries, gemini_lines, openai_lines
from broker.intake.forms.fields import fault_of_name, invalid, named_model, usable_name
from broker.intake.layout import LINES_OF_OPENAI, Layout, form_told_by, open_rows
from broker.intake.models import Models
from broker.intake.problems import Problem, ProblemCode, RowRefused, Unit
from broker.intake.row_syntax import BODY, RequestKey, in_one_line, parse_row, readable, with_member
from broker.intake.source import MAX_LINE_BYTES, Line, Source

_KEYS: Mapping[BatchForm, RequestKey] = {
    BatchForm.OPENAI: BODY,
    BatchForm.ANTHROPIC: RequestKey("params", b'"params"'),
    BatchForm.GEMINI: RequestKey("request", b'"request"'),
}
_NAMES: Mapping[BatchForm, str] = {
    BatchForm.OPENAI: "a line of OpenAI's batch API",
    BatchForm.ANTHROPIC: "an entry of Anthropic's batch API",
    BatchForm.GEMINI: "a line of Gemini's batch API",
}
Fields = Mapping[str, Any]
_PlaceOfName = Callable[[Fields], tuple[Fields, str, str]]
_AskedFor = Callable[[Fields], tuple[Endpoint, dict[str, Any]]]
_ModelOf = Callable[[Fields], str | None]


class Row(NamedTuple):
    """A row that can be accepted; many are made a second."""

    position: int
    """In the batch, counted from 0: blank lines left out, bad rows included."""
    line: int
    """In the file, counted from 1; or the number of the request."""
    custom_id: str
    """The producer's name of the row, whatever its form calls that."""
    endpoint: Endpoint
    model: str
    """The route that it takes."""
    body: bytes
    """The request byte for byte as submitted, without a line break."""


def read_rows(
    source: Source, *, routes: frozenset[str], layout: Layout = LINES_OF_OPENAI, use: str | None = None
) -> Generator[Row | Problem, None, None]:
    """Every row of the source in order, checked; `routes` are those that some account serves.

    Memory does not grow with the source. Close the iterator when leaving it early, since it holds the file open.
    Raises `CallerError` when the source cannot be read or has no rows at all.
    """
    check = RowCheck(routes, layout=layout, use=use)
    position = -1
    with open_rows(source, layout.unit) as rows:
        for position, row in enumerate(rows):
            yield check.row(row, position)
    if position == -1:
        how = "write one JSON object per line" if layout.unit is Unit.LINE else 'its "requests" are none'
        raise CallerError(f"{source.name} is empty: it has no rows; {how}")


class RowCheck:
    """Turns lines into rows or problems; remembers the hints it gave for unknown models.

    `use` is what the batch is for. `only` are the keys that a row may have, where others are not ignored; `defaults`
    stand for those left out.
    """

    def __init__(
        self,
        routes: frozenset[str],
        *,
        layout: Layout = LINES_OF_OPENAI,
        use: str | None = None,
        only: frozenset[str] | None = None,
        defaults: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self._layout = layout
        self._form = layout.form
        self._key = _KEYS[layout.form]
        self._model_field = f"{self._key.name}.model"
        self._only = only
        self._defaults = defaults
        self._models = Models(routes, use=use, default=layout.model)
        self._place_of_name, self._asked_for, self._model_of = _reading(layout)

    def row(self, line: Line, position: int) -> Row | Problem:
        fields: dict[str, Any] | None = None
        if not line.whole:
            too_long = f"the {self._layout.unit} is longer than {MAX_LINE_BYTES >> 20} MiB"
            return self._problem(RowRefused(ProblemCode.LINE_TOO_LONG, too_long), line, position, fields)
        try:
            fields, body = parse_row(line.content, self._key)
            if self._key.name not in fields:
                self._check_form(fields)
            if self._only is not None and not fields.keys() <= self._only:
                raise invalid(f"the row has a key that is not known; known are {', '.join(sorted(self._only))}")
            if self._defaults:
                fields = {**self._defaults, **fields}
            custom_id = usable_name(*self._place_of_name(fields))
            endpoint, request = self._asked_for(fields)
            named = self._model_of(request)
            route = self._models.route(named, self._model_field)
            if named is None and self._form is not BatchForm.GEMINI:  # there a model is no part of the request
                body = with_member(body, "model", self._layout.model)
        except RowRefused as refused:
            return self._problem(refused, line, position, fields)
        return Row(
            position=position,
            line=line.number,
            custom_id=custom_id,
            endpoint=endpoint,
            model=route,
            body=body if b"\n" not in body else in_one_line(body),
        )

    def _check_form(self, fields: Fields) -> None:
        told = form_told_by(fields)
        if told is not None and told is not self._form:
            raise RowRefused(
                ProblemCode.OTHER_FORM,
                f"the row is {_NAMES[told]}, and was to be {_NAMES[self._form]}: all rows of a batch have one form",
            )

    def _problem(self, refused: RowRefused, line: Line, position: int, fields: dict[str, Any] | None) -> Problem:
        if fields is not None:
            among, key, _ = self._place_of_name(fields)
            given = among.get(key)
        else:
            given = readable(line.content, "key" if self._form is BatchForm.GEMINI else "custom_id")
        return Problem(
            line=line.number,
            position=position,
            code=refused.code,
            message=str(refused),
            custom_id=given if isinstance(given, str) and fault_of_name(given) is None else None,
            model=refused.model,
            unit=self._layout.unit,
        )


def _reading(layout: Layout) -> tuple[_PlaceOfName, _AskedFor, _ModelOf]:
    match layout.form:
        case BatchForm.OPENAI:
            asked_for = partial(openai_lines.asked_for, default=layout.endpoint)
            return _custom_id, asked_for, partial(named_model, name="body.model")
        case BatchForm.ANTHROPIC:
            return _custom_id, anthropic_entries.asked_for, partial(named_model, name="params.model")
        case BatchForm.GEMINI:
            return gemini_lines.place_of_name, gemini_lines.asked_for, gemini_lines.model_of
        case _:
            assert_never(layout.form)


def _custom_id(fields: Fields) -> tuple[Fields, str, str]:
    return fields, "custom_id", "custom_id"

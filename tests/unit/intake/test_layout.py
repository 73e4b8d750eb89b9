"""How an input is written is seen by its first row, or told."""

import gzip
import json
from pathlib import Path

import pytest

from broker.domain.dialect import Dialect
from broker.domain.form import BatchForm, form_of
from broker.domain.job import Endpoint
from broker.errors import CallerError
from broker.intake.jsonl import Row, read_rows
from broker.intake.layout import Layout, layout_of
from broker.intake.problems import Problem, Unit
from broker.intake.source import Source

OPENAI = b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"hi"}}'
ANTHROPIC = b'{"custom_id":"a","params":{"model":"m","max_tokens":1,"messages":[1]}}'
GEMINI = b'{"key":"a","request":{"model":"models/m","contents":[1]}}'
INLINE = b'{"request":{"model":"models/m","contents":[1]},"metadata":{"key":"a"}}'


def a_source(folder: Path, content: bytes) -> Source:
    path = folder / "jobs"
    path.write_bytes(content)
    return Source(name="jobs", path=path)


@pytest.mark.parametrize(
    ("content", "form", "unit"),
    [
        (OPENAI, BatchForm.OPENAI, Unit.LINE),
        (ANTHROPIC, BatchForm.ANTHROPIC, Unit.LINE),
        (GEMINI, BatchForm.GEMINI, Unit.LINE),
        (INLINE, BatchForm.GEMINI, Unit.LINE),
        (b"\xef\xbb\xbf\r\n\r\n" + ANTHROPIC, BatchForm.ANTHROPIC, Unit.LINE),
        (b"nonsense\n" + ANTHROPIC + b"\n" + GEMINI, BatchForm.ANTHROPIC, Unit.LINE),
        (b'{"custom_id":"a","params":{},"broken', BatchForm.ANTHROPIC, Unit.LINE),
        (b"nonsense\n" * 200 + ANTHROPIC, BatchForm.OPENAI, Unit.LINE),
        (b"", BatchForm.OPENAI, Unit.LINE),
        (b'{"requests":[' + ANTHROPIC + b"]}", BatchForm.ANTHROPIC, Unit.REQUEST),
        (b'\xef\xbb\xbf{\n "requests" : [\n' + INLINE + b"\n]\n}\n", BatchForm.GEMINI, Unit.REQUEST),
        (b'{"requests":[' + OPENAI + b"]}", BatchForm.OPENAI, Unit.REQUEST),
        (b'{"key":"a","request":{"requests":[{"content":{}}]}}', BatchForm.GEMINI, Unit.LINE),
    ],
)
def test_the_first_row_that_can_be_told_tells_the_form(
    tmp_path: Path, content: bytes, form: BatchForm, unit: Unit
) -> None:
    assert layout_of(a_source(tmp_path, content)) == Layout(form=form, unit=unit)
    assert layout_of(a_source(tmp_path, gzip.compress(content))) == Layout(form=form, unit=unit)


@pytest.mark.parametrize("dialect", Dialect)
def test_what_is_told_is_not_looked_for(tmp_path: Path, dialect: Dialect) -> None:
    layout = layout_of(a_source(tmp_path, ANTHROPIC), dialect=dialect, model="m")
    assert (layout.form, layout.unit, layout.model) == (form_of(dialect), Unit.LINE, "m")
    in_object = layout_of(a_source(tmp_path, b'{"requests":[' + ANTHROPIC + b"]}"), dialect=dialect)
    assert (in_object.form, in_object.unit) == (form_of(dialect), Unit.REQUEST)


def test_the_dialects_of_openai_say_what_lines_without_a_url_mean(tmp_path: Path) -> None:
    told = {dialect: layout_of(a_source(tmp_path, OPENAI), dialect=dialect).endpoint for dialect in Dialect}
    assert told == {
        Dialect.OPENAI_CHAT: Endpoint.CHAT_COMPLETIONS,
        Dialect.OPENAI_RESPONSES: Endpoint.RESPONSES,
        Dialect.OPENAI_EMBEDDINGS: Endpoint.EMBEDDINGS,
        Dialect.ANTHROPIC_MESSAGES: None,
        Dialect.GEMINI_GENERATE_CONTENT: None,
    }


def rows_of(source: Source) -> list[Row | Problem]:
    return list(read_rows(source, routes=frozenset({"m"}), layout=layout_of(source)))


def test_a_pretty_printed_object_has_rows_of_one_line_each(tmp_path: Path) -> None:
    row = json.loads(ANTHROPIC)
    pretty = json.dumps({"requests": [row, row | {"custom_id": "b\n"}, row | {"custom_id": "c"}]}, indent=2)
    first, second, third = rows_of(a_source(tmp_path, pretty.encode()))
    assert isinstance(first, Row)
    assert isinstance(second, Problem)
    assert isinstance(third, Row)
    assert [row.position for row in (first, second, third)] == [0, 1, 2]
    assert b"\n" not in third.body
    assert json.loads(third.body) == row["params"]
    assert str(second).startswith("request 2: custom_id has a control character")


def test_an_object_without_requests_is_empty(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r'jobs is empty: it has no rows; its "requests" are none'):
        rows_of(a_source(tmp_path, b'{"requests":[]}'))

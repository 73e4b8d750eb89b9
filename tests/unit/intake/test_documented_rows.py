"""The rows and lines that the documentation shows are what is read and written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from broker.delivery.result_lines import holds_results
from broker.intake.jsonl import Row, read_rows
from broker.intake.layout import layout_of
from broker.intake.source import Source

DOCS = Path(__file__).resolve().parents[3] / "docs"
_BLOCK = re.compile(r"```json\n(.*?)```", re.DOTALL)


def shown(*pages: str) -> list[str]:
    """The JSON blocks of these pages."""
    return [block for page in pages for block in _BLOCK.findall((DOCS / page).read_text())]


def is_input(value: dict[str, Any]) -> bool:
    return bool(value.keys() & {"body", "params", "request", "requests"})


BLOCKS = shown("reference/files.md", "how-to/dialects.md")
INPUTS = [block for block in BLOCKS if is_input(json.loads(block.splitlines()[0]))]
OUTPUTS = [block for block in BLOCKS if block not in INPUTS]


@pytest.mark.parametrize("block", INPUTS)
def test_rows_that_are_shown_are_accepted(tmp_path: Path, block: str) -> None:
    path = tmp_path / "jobs"
    path.write_text(block)
    source = Source(name="jobs", path=path)
    named = '"model"' in block
    found = list(
        read_rows(source, routes=frozenset({"judge"}), layout=layout_of(source, model=None if named else "judge"))
    )
    assert len(found) == len(block.splitlines())
    assert all(isinstance(row, Row) for row in found), found


@pytest.mark.parametrize("block", OUTPUTS)
def test_lines_that_are_shown_begin_as_ours_do(tmp_path: Path, block: str) -> None:
    for line in block.splitlines():
        json.loads(line)
        path = tmp_path / "out"
        path.write_text(line)
        assert holds_results(path), line


def test_every_form_is_shown_both_ways() -> None:
    assert len(INPUTS) == 5
    assert len(OUTPUTS) == 4

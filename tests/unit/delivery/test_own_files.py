"""Which files are ours to write again: told by how they begin, in the form of any batch."""

from pathlib import Path

import pytest

from broker.delivery.result_lines import holds_results, writer_of
from broker.domain.form import BatchForm
from tests.unit.delivery.results import a_failed_line, a_line

LONGEST = '"\\\x7f😀' * 128
INPUTS = [
    b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}}\n',
    b'{"custom_id":"a","params":{}}\n',
    b'{"custom_id":null,"params":{}}\n',
    b'{"key":"a","request":{}}\n',
    b'{"requests":[]}',
    b'{"custom_id": "a", "result": 7}\n',
    b'{"key":7}',
    b'{"custom_id":"never closed\n',
    b'{"custom_id":"' + b"x" * 5000,
    b"hello\n",
]


@pytest.mark.parametrize("form", BatchForm)
@pytest.mark.parametrize("name", ["a", 'with ","result":{" in it', LONGEST, None])
def test_a_file_of_results_is_ours_also_where_it_was_cut_off(tmp_path: Path, form: BatchForm, name: str | None) -> None:
    path = tmp_path / "out.jsonl"
    for line in (a_line(custom_id=name), a_failed_line("x", custom_id=name)):
        written = writer_of(form)(line)
        for end in (*range(min(len(written), 90)), len(written) - 5, len(written)):
            path.write_bytes(written[:end])
            assert holds_results(path), written[:end]
        path.write_bytes(written + INPUTS[0])
        assert holds_results(path)


@pytest.mark.parametrize("content", INPUTS)
def test_an_input_is_never_taken_for_results(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(content)
    assert not holds_results(path)

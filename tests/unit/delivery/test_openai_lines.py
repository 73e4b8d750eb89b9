import json

import pytest

from broker.delivery.openai_lines import LINE_BEGINS, output_line
from broker.delivery.result_lines import is_error
from broker.domain.result import ResultState
from tests.unit.delivery.results import a_failed_line, a_line


def test_an_answer_is_passed_on_byte_for_byte() -> None:
    line = output_line(a_line())
    assert line.endswith(b"\n")
    assert b'"body":{"id": "x", "n": 1.50}}' in line
    assert json.loads(line) == {
        "id": "batch_req_3_7",
        "custom_id": "row-7",
        "response": {"status_code": 200, "request_id": "req_1", "body": {"id": "x", "n": 1.5}},
        "error": None,
    }


def test_half_a_surrogate_pair_is_passed_on_byte_for_byte() -> None:
    body = b'{"content": "\\ud83d"}'
    assert b'"body":' + body in output_line(a_line(body=body))


def test_a_refusal_of_the_provider_is_a_response_and_an_error_line() -> None:
    refused = a_line(state=ResultState.FAILED, status=404, body=b'{"error":{"code":"gone"}}', error_code="gone")
    assert json.loads(output_line(refused))["response"]["status_code"] == 404
    assert is_error(refused)


def test_a_row_that_was_never_answered_carries_an_error() -> None:
    line = json.loads(output_line(a_failed_line("invalid_json", "line 2: bad")))
    assert (line["response"], line["error"]) == (None, {"code": "invalid_json", "message": "line 2: bad"})


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"a":\r\n 1}\n', {"a": 1}),
        (b"<html>\nno\n</html>", "<html> no </html>"),
        (b'{"cut', '{"cut'),
        (b"\xff", "\ufffd"),
    ],
)
def test_any_body_makes_one_line_of_json(body: bytes, read: object) -> None:
    line = output_line(a_line(status=500, body=body))
    assert line.count(b"\n") == 1
    assert json.loads(line)["response"]["body"] == read


@pytest.mark.parametrize("custom_id", ['with "quotes"', "line\nfeed", "Zürich", None])
def test_every_name_is_kept(custom_id: str | None) -> None:
    line = output_line(a_line(custom_id=custom_id))
    assert json.loads(line)["custom_id"] == custom_id
    assert line.startswith(LINE_BEGINS)


def test_what_was_lost_in_translation_is_the_last_member_and_else_there_is_none() -> None:
    warnings = '[{"code":"unsupported_field","path":"/seed","detail":"no seed","class":"sampling"}]'
    line = output_line(a_line(warnings=warnings))
    assert line.endswith(b',"error":null,"warnings":' + warnings.encode() + b"}\n")
    assert json.loads(line)["warnings"] == json.loads(warnings)
    assert "warnings" not in json.loads(output_line(a_line()))

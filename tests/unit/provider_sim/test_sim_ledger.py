import pytest

from workers.provider_sim.ledger import Begun, Ledger


def a_call(number: int = 1, **fields: object) -> Begun:
    values: dict[str, object] = {
        "request": number,
        "client_request_id": f"attempt-{number}",
        "key": "a",
        "path": "/v1/chat/completions",
        "model": "m",
        "prompt_digest": number.to_bytes(8, "big"),
        "input_tokens": 10,
        "cached_tokens": 2,
        "output_tokens": 2**33,
        "reasoning_tokens": 1,
        "started_at": 1.5,
    }
    return Begun(**values | fields)  # type: ignore[arg-type]  # a builder over keyword fields


def test_a_call_is_in_the_ledger_from_its_beginning() -> None:
    ledger = Ledger()
    ledger.begin(a_call())
    (row,) = ledger
    assert (row.outcome, row.finished_at) == ("running", None)
    assert row.prompt_digest == "0000000000000001"
    assert row.request_id.endswith("01")
    assert (row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens) == (10, 2, 2**33, 1)


def test_calls_finish_in_any_order() -> None:
    ledger = Ledger()
    first, second = ledger.begin(a_call(1)), ledger.begin(a_call(2, client_request_id=None))
    ledger.finish(second, "complete", 3.0)
    ledger.finish(first, "aborted", 4.0)
    assert [(row.client_request_id, row.outcome, row.finished_at) for row in ledger] == [
        ("attempt-1", "aborted", 4.0),
        (None, "complete", 3.0),
    ]


def test_rows_can_be_read_from_a_number_on() -> None:
    ledger = Ledger()
    for number in range(5):
        ledger.begin(a_call(number))
    assert [row.n for row in ledger.rows(3)] == [3, 4]
    assert list(ledger.rows(9)) == []


def test_a_row_that_is_not_there_is_an_error() -> None:
    with pytest.raises((IndexError, ValueError)):
        Ledger().row(0)

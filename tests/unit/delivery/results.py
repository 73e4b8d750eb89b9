"""Builders: a line of the ledger that is to be delivered."""

from typing import Any

from broker.domain.result import ResultLine, ResultState


def a_line(**changes: Any) -> ResultLine:
    """The line of a good answer, but for what is told otherwise."""
    facts: dict[str, Any] = {
        "batch_id": 3,
        "position": 7,
        "seq": 1,
        "custom_id": "row-7",
        "state": ResultState.SUCCEEDED,
        "status": 200,
        "body": b'{"id": "x", "n": 1.50}',
        "error_code": None,
        "error_message": None,
        "request_id": "req_1",
    }
    return ResultLine(**(facts | changes))


def a_failed_line(code: str, message: str = "it went wrong", **changes: Any) -> ResultLine:
    """The line of a row without an answer."""
    facts = {"state": ResultState.FAILED, "status": None, "body": None, "request_id": None}
    return a_line(**(facts | {"error_code": code, "error_message": message} | changes))

"""docs/reference/asyncapi.json says what the code says."""

import json
from pathlib import Path

from broker.cli.asyncapi import generated
from broker.intake.amqp import shapes

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/asyncapi.json"


def test_the_document_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == generated(), "run python -m broker.cli.asyncapi"


def test_it_describes_submissions_replies_and_results() -> None:
    document = json.loads(generated())
    assert document["asyncapi"] == "3.0.0"
    assert {name: operation["action"] for name, operation in document["operations"].items()} == {
        "Submit": "receive", "Replies": "send", "Results": "send",
    }  # fmt: skip
    assert set(document["components"]["schemas"]) >= {
        "Jobs", "Seal", "Subscribe", "Unsubscribe", "Accepted", "Refused", "Result", "BatchEnded",
    }  # fmt: skip
    assert document["components"]["schemas"]["Jobs"]["properties"]["jobs"]["maxItems"] == shapes.MOST_JOBS

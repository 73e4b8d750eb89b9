"""Results as messages for subscribers."""

from dataclasses import replace

import orjson
from pydantic import TypeAdapter

from broker.delivery.amqp import messages, shapes
from broker.domain.batch import BatchState, Counts
from broker.domain.form import BatchForm
from broker.domain.result import ResultLine
from broker.store.subscriptions import Backlog

BACKLOG = Backlog(
    subscription_id=1,
    project="lab",
    name="feed",
    batch_id=7,
    batch="eval",
    form=BatchForm.OPENAI,
    state=BatchState.COMPLETED,
    counts=Counts(total=3, succeeded=2, failed=1),
    seq=0,
)
LINE = ResultLine(
    batch_id=7,
    position=4,
    seq=2,
    custom_id="a",
    state="succeeded",
    status=200,
    body=b'{"answer": 1}',
    error_code=None,
    error_message=None,
    request_id="req-1",
)


WARNINGS = '[{"code":"dropped","path":"/seed","detail":"no seed","class":"sampling"}]'


def test_a_result_is_the_line_that_a_file_would_have() -> None:
    message = messages.result(BACKLOG, LINE)
    assert message.body == (
        b'{"id":"batch_req_7_4","custom_id":"a","response":{"status_code":200,"request_id":"req-1",'
        b'"body":{"answer": 1}},"error":null}'
    )
    assert (message.seq, message.message_id) == (2, "7-2")
    assert message.headers == {"project": "lab", "batch": 7, "seq": 2, "position": 4}


def test_a_result_that_is_too_large_says_where_it_is() -> None:
    message = messages.result(BACKLOG, LINE, most_bytes=50)
    error = orjson.loads(message.body)["error"]
    assert error["code"] == "result_too_large"
    assert "penstock results 7" in error["message"]
    assert (message.seq, message.headers["position"]) == (2, 4)


def test_what_is_sent_is_what_the_document_describes() -> None:
    described = TypeAdapter(shapes.Delivered)
    for message in (messages.result(BACKLOG, LINE), messages.result(BACKLOG, LINE, most_bytes=50)):
        assert isinstance(described.validate_json(message.body).root, shapes.Result)
    shaped = {
        BatchForm.OPENAI: shapes.Result,
        BatchForm.ANTHROPIC: shapes.EntryResult,
        BatchForm.GEMINI: shapes.GeminiResult,
    }
    for form, shape in shaped.items():
        of = replace(BACKLOG, form=form)
        for line in (LINE, LINE._replace(warnings=WARNINGS), LINE._replace(state="cancelled", body=None)):
            for most_bytes in (10_000, 50):
                told = described.validate_json(messages.result(of, line, most_bytes=most_bytes).body).root
                assert type(told) is shape
    end = described.validate_json(messages.ended(BACKLOG).body).root
    assert isinstance(end, shapes.BatchEnded)
    assert (end.batch, end.counts.total, messages.ended(BACKLOG).seq) == ("eval", 3, 4)

import orjson
import pytest

from broker.domain.attempt import AttemptState, ErrorClass, Scope
from broker.domain.dialect import Dialect
from broker.protocols.registry import codec_of
from workers.classify import Verdict, classify
from workers.endings import CutOff, Ending, NotConnected, Responded
from workers.interpreter import Said

NOW = 1_790_000_000.0
ANSWER = orjson.dumps(
    {
        "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
)


def judged(ending: Ending, *, items: int | None = None) -> Verdict:
    said = Said(codec=codec_of(Dialect.OPENAI_CHAT), url="http://127.0.0.1", body=b"{}", items=items)
    return classify(ending, said, details_default_zero=True, now=NOW)


def responded(status: int, body: bytes = b"", **headers: str) -> Responded:
    return Responded(status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=body)


def test_a_complete_answer_is_ok() -> None:
    verdict = judged(responded(200, ANSWER, x_request_id="req_1"))
    assert verdict.state is AttemptState.OK
    assert verdict.error is None
    assert verdict.answer is not None
    assert verdict.answer.model == "m-1"
    assert verdict.answer.usage.cache_read_tokens == 0
    assert verdict.request_id == "req_1"


def test_an_answer_with_fewer_items_than_asked_for_failed() -> None:
    verdict = judged(responded(200, ANSWER), items=2)
    assert verdict.state is AttemptState.FAILED
    assert verdict.answer is None


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *((status, AttemptState.REFUSED) for status in (400, 401, 402, 403, 404, 412, 413, 422, 429, 451)),
        *((status, AttemptState.FAILED) for status in (408, 409, 500, 502, 503, 504, 524, 529, 301, 307, 101)),
    ],
)
def test_an_error_status_says_whether_the_provider_did_anything(status: int, state: AttemptState) -> None:
    verdict = judged(responded(status))
    assert verdict.state is state
    assert verdict.error is not None
    assert verdict.error.status == status
    assert verdict.answer is None


@pytest.mark.parametrize("body", [b"", b"<html>", ANSWER[:-1], b'{"error":{"code":"insufficient_quota"}}', b"{}"])
def test_a_success_status_without_an_answer_failed(body: bytes) -> None:
    verdict = judged(responded(200, body, request_id="r"))
    assert verdict.state is AttemptState.FAILED
    assert verdict.answer is None
    assert verdict.request_id == "r"


def test_no_connection_is_refused() -> None:
    verdict = judged(NotConnected(reason="no route"))
    assert verdict.state is AttemptState.REFUSED
    assert verdict.error is not None
    assert (verdict.error.error_class, verdict.error.scope) == (ErrorClass.CONNECTION, Scope.SAME)
    assert verdict.error.message == "no route"


@pytest.mark.parametrize("status", [None, 200])
def test_a_cut_success_is_unknown(status: int | None) -> None:
    verdict = judged(CutOff(reason="reset", status=status))
    assert verdict.state is AttemptState.UNKNOWN
    assert verdict.error is not None
    assert verdict.error.error_class is ErrorClass.OUTCOME_UNKNOWN
    assert verdict.error.status == status


@pytest.mark.parametrize(
    ("status", "state", "error_class"),
    [
        (429, AttemptState.REFUSED, ErrorClass.RATE_LIMITED),
        (401, AttemptState.REFUSED, ErrorClass.AUTHENTICATION),
        (503, AttemptState.FAILED, ErrorClass.OVERLOADED),
        (302, AttemptState.FAILED, ErrorClass.MALFORMED_ANSWER),
    ],
)
@pytest.mark.parametrize("too_large", [False, True])
def test_a_cut_error_is_what_its_status_says(
    status: int,
    state: AttemptState,
    error_class: ErrorClass,
    too_large: bool,
) -> None:
    verdict = judged(CutOff(reason="reset", status=status, too_large=too_large))
    assert verdict.state is state
    assert verdict.error is not None
    assert verdict.error.error_class is error_class


def test_a_body_beyond_the_cap_failed_as_no_answer() -> None:
    verdict = judged(CutOff(reason="passed the cap", status=200, too_large=True))
    assert verdict.state is AttemptState.FAILED
    assert verdict.error is not None
    assert verdict.error.error_class is ErrorClass.MALFORMED_ANSWER


def test_the_providers_hint_comes_through() -> None:
    verdict = judged(responded(429, retry_after_ms="1500"))
    assert verdict.error is not None
    assert verdict.error.wait_s == 1.5


def test_a_key_in_a_reason_is_masked() -> None:
    verdict = judged(CutOff(reason="reset by https://x?key=sk-CANARY0123456789"))
    assert verdict.error is not None
    assert "CANARY" not in verdict.error.message

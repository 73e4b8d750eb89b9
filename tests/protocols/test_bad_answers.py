"""No bad answer of the corpus is taken for a success, though each came with a success status."""

from typing import Any

import pytest

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.dialect import Dialect
from broker.protocols import parse_response
from tests.protocols.corpus import KEYS, MORE_KEYS, cases, entries, files, raw


@pytest.mark.parametrize(("dialect", "case"), cases("bad_answers"))
def test_a_bad_answer_is_no_success(dialect: Dialect, case: dict[str, Any]) -> None:
    error = parse_response(
        dialect,
        case["status"],
        case["headers"],
        raw(case["body"]),
        request=case.get("request"),
        now=case.get("now", 0.0),
    )
    assert isinstance(error, CallError)
    assert (error.error_class, error.scope) == (ErrorClass(case["class"]), Scope(case["scope"]))
    assert error.wait_s == (None if case["wait_s"] is None else pytest.approx(case["wait_s"]))
    if "usage" in case:  # what was generated is paid, whatever it is worth
        wanted = case["usage"] or {"input_tokens": None, "output_tokens": None}
        reported = {"input_tokens": error.usage.input_tokens, "output_tokens": error.usage.output_tokens}
        assert reported == wanted


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in files("bad_answers")])
def test_a_corpus_of_bad_answers_is_well_formed(path: Any) -> None:
    corpus = entries(path)
    assert len(corpus) >= 18
    assert len({case["name"] for case in corpus}) == len(corpus)
    assert len({(str(case["headers"]), str(case["body"]), str(case.get("request"))) for case in corpus}) == len(corpus)
    for case in corpus:
        assert KEYS <= case.keys() <= KEYS | MORE_KEYS, case["name"]
        assert 200 <= case["status"] < 300, "an error status is no bad answer"
        assert all(name == name.lower() for name in case["headers"]), case["name"]
        assert case["source"], case["name"]


def test_the_corpus_of_bad_answers_is_large() -> None:
    assert sum(len(entries(path)) for path in files("bad_answers")) >= 60

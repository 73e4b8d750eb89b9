"""Every error body of the corpus is understood as what it is: its class, where to try again, and how long to wait."""

from typing import Any

import pytest

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.dialect import Dialect
from broker.protocols import parse_response
from tests.protocols.corpus import KEYS, MORE_KEYS, cases, entries, files, raw


@pytest.mark.parametrize(("dialect", "case"), cases("errors"))
def test_an_error_is_understood(dialect: Dialect, case: dict[str, Any]) -> None:
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
    assert error.status == case["status"]
    assert 0 < len(error.message) <= 500


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in files("errors")])
def test_a_corpus_of_errors_is_well_formed(path: Any) -> None:
    corpus = entries(path)
    assert len(corpus) >= 30
    assert len({case["name"] for case in corpus}) == len(corpus)
    assert len({(case["status"], str(case["headers"]), str(case["body"])) for case in corpus}) == len(corpus)
    for case in corpus:
        assert KEYS <= case.keys() <= KEYS | MORE_KEYS, case["name"]
        assert not 200 <= case["status"] < 300, "a success with an error inside is a bad answer"
        assert all(name == name.lower() for name in case["headers"]), case["name"]
        assert case["source"], case["name"]


def test_the_corpus_of_errors_is_large() -> None:
    assert sum(len(entries(path)) for path in files("errors")) >= 100

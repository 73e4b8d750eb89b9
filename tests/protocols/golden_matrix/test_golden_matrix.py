"""Every documented body at every target: exactly as expected, and a request by the target's own SDK."""

import json

import pytest

from broker.protocols import Translation
from tests.protocols.golden_matrix.expectations import EXPECTED, Documented, cases, computed, documented, translated
from tests.protocols.golden_matrix.oracles import check_request

SOURCES = [pytest.param(source, id=f"{source.dialect}-{source.name}") for source in documented()]


@pytest.mark.parametrize("source", SOURCES)
def test_a_documented_body_becomes_what_is_expected(source: Documented) -> None:
    assert computed(source) == source.expectation.read_text("utf-8")


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_sent_is_a_request_by_the_targets_sdk(source: Documented) -> None:
    for case in cases(source):
        result = translated(source, case)
        if isinstance(result, Translation):
            check_request(result)


def test_no_expectation_is_left_over() -> None:
    assert set(EXPECTED.glob("*/*.json")) == {source.expectation for source in documented()}


def test_the_matrix_is_large_and_most_of_it_goes_through() -> None:
    entries = [
        entry
        for source in documented()
        for entry in json.loads(source.expectation.read_text("utf-8")).values()
        if isinstance(entry, dict)
    ]
    sent = [entry for entry in entries if "body" in entry or "body" in entry.get("drop", {})]
    assert len(entries) >= 800
    assert len(sent) >= 500

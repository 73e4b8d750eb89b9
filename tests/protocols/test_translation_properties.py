"""What holds for every request, whatever it says and whoever it is for: 100,000 drawn bodies, every target each."""

import json
from copy import deepcopy
from typing import Any

import pytest

from broker.domain.dialect import Dialect
from broker.domain.loss import OnLoss
from broker.protocols import Translation, UntranslatableRequest, translate_request
from broker.protocols.exact_json import written
from tests.protocols.bodies import drawn
from tests.protocols.drawing import Drawing
from tests.protocols.wire_reading import paired, tool_names

GENERATING = tuple(dialect for dialect in Dialect if dialect.generates)
BODIES = {dialect: 24_000 if dialect.generates else 4_000 for dialect in Dialect}
SHARES = 4


def translated(body: dict[str, Any], source: Dialect, target: Dialect, on_loss: OnLoss) -> Translation | None:
    try:
        return translate_request(body, source=source, target=target, model="target-model", on_loss=on_loss)
    except UntranslatableRequest as refused:
        check(refused, target)
        return None


def check(refused: UntranslatableRequest, target: Dialect) -> None:
    """A refusal names its target, and places in the body."""
    assert refused.losses
    assert refused.target == target
    assert all(loss.path == "" or loss.path.startswith("/") for loss in refused.losses)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("source", Dialect)
def test_no_body_makes_it_crash_or_change_its_input_or_its_mind(source: Dialect, share: int) -> None:
    bodies = Drawing(seed=share)
    went_through = 0
    for _ in range(BODIES[source] // SHARES):
        body = drawn(bodies, source)
        before = deepcopy(body)
        for target in Dialect:
            on_loss = bodies.random.choice(list(OnLoss))
            translation = translated(body, source, target, on_loss)
            if translation is None:
                continue
            went_through += 1
            sent = written(translation.body)
            assert json.loads(sent) is not None
            if bodies.chance(0.1):
                again = translated(deepcopy(before), source, target, on_loss)
                assert again is not None
                assert (written(again.body), again.warnings) == (sent, translation.warnings)
        assert body == before
    assert went_through > BODIES[source] // SHARES  # its own dialect always, and some others


CROSSINGS = [(source, target) for source in GENERATING for target in GENERATING if source is not target]


@pytest.mark.parametrize(("source", "target"), CROSSINGS)
def test_every_call_keeps_its_own_result(source: Dialect, target: Dialect) -> None:
    bodies = Drawing(seed=99)
    seen = 0
    for _ in range(1_500):
        body = drawn(bodies, source, odd=0.0)
        translation = translated(body, source, target, OnLoss.DROP)
        if translation is None:
            continue
        asked = paired(source, body)
        heard = [(translation.names.get(name, name), mark) for name, mark in paired(target, translation.body)]
        assert [entry for entry in heard if entry[1]] == [entry for entry in asked if entry[1]]
        seen += len([mark for _, mark in asked if mark])
    assert seen > 100


@pytest.mark.parametrize(("source", "target"), CROSSINGS)
def test_names_of_tools_are_mapped_one_to_one_and_back(source: Dialect, target: Dialect) -> None:
    bodies = Drawing(seed=7)
    mapped = 0
    for _ in range(1_500):
        body = drawn(bodies, source, odd=0.0)
        translation = translated(body, source, target, OnLoss.DROP)
        if translation is None:
            continue
        there = tool_names(target, translation.body)
        back = [translation.names.get(name, name) for name in there]
        assert len(set(translation.names.values())) == len(translation.names)
        assert len(set(there)) == len(set(back))
        mapped += len(translation.names)
    assert mapped > 20

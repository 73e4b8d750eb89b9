"""Gemini's bodies name a model nowhere, at the top, or in each request of a batch; where it stands it is replaced."""

import json

import pytest

from broker.domain.dialect import Dialect
from broker.protocols import translate_raw, translate_request

GEMINI = Dialect.GEMINI_GENERATE_CONTENT
CASES = [
    ('{"contents":[{"parts":[{"text":"model"}]}]}', '{"contents":[{"parts":[{"text":"model"}]}]}'),
    ('{ "model" : "models/old", "contents":[]}', '{ "model" : "models/new", "contents":[]}'),
    (
        '{"requests":[ {"model":"models/old","content":{"parts":[{"text":"a"}]}} ,{"content":{}}]}',
        '{"requests":[ {"model":"models/new","content":{"parts":[{"text":"a"}]}} ,{"content":{}}]}',
    ),
]


@pytest.mark.parametrize(("before", "after"), CASES)
def test_the_model_is_replaced_wherever_it_stands(before: str, after: str) -> None:
    assert translate_raw(before.encode(), source=GEMINI, target=GEMINI, model="new") == after.encode()
    assert translate_request(json.loads(before), source=GEMINI, target=GEMINI, model="new").body == json.loads(after)

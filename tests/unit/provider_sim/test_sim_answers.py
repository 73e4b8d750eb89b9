import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.provider_sim.answers import expected_embedding, expected_text, tokens_of


@given(one=st.text(), other=st.text())
def test_an_answer_belongs_to_one_prompt(one: str, other: str) -> None:
    assert (expected_text(one) == expected_text(other)) == (one == other)


@given(text=st.text(), dimensions=st.integers(1, 200))
def test_an_embedding_has_length_one_and_survives_as_32_bit_floats(text: str, dimensions: int) -> None:
    vector = expected_embedding(text, dimensions)
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1.0, abs=1e-5)
    packed = struct.pack(f"<{dimensions}f", *vector)
    assert list(struct.unpack(f"<{dimensions}f", packed)) == vector


def test_other_texts_have_other_embeddings() -> None:
    assert expected_embedding("a", 8) != expected_embedding("b", 8)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("日本", 2)])
def test_tokens_are_a_quarter_of_the_bytes(text: str, tokens: int) -> None:
    assert tokens_of(text) == tokens

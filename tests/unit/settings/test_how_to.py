"""The examples of the how-to are configurations that load."""

import re
from pathlib import Path

import pytest

from broker.settings import parse

PAGE = Path(__file__).parents[3] / "docs/how-to/add-a-provider.md"
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_loads(text: str) -> None:
    (account,) = parse(text, Path("penstock.toml")).accounts
    assert account.base_url.startswith("https://")

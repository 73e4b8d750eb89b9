"""The examples of what is told about providers are configurations that load."""

import re
from pathlib import Path

import pytest

from broker.settings import parse

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("how-to/add-a-provider.md", "explanation/scrutiny.md")
EXAMPLES = [
    example
    for page in PAGES
    for example in re.findall(r"^```toml\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_loads(text: str) -> None:
    (account,) = parse(text, Path("penstock.toml")).accounts
    assert account.base_url.startswith("https://")

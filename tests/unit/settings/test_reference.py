from pathlib import Path

from broker.settings.reference import markdown

PAGE = Path(__file__).parents[3] / "docs/reference/configuration.md"


def test_the_page_is_what_the_schema_and_the_catalog_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run python -m broker.settings.reference"

from pathlib import Path

from broker.cli.reference import markdown

PAGE = Path(__file__).parents[3] / "docs/reference/cli.md"


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run python -m broker.cli.reference > docs/reference/cli.md"

"""Pages of docs/ that say what the code says: compared here, so that they cannot drift apart."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import broker
from broker.domain import attempt, batch
from broker.domain.attempt import ErrorClass
from broker.domain.outcome import Finished, RetryPolicy, Waiting
from broker.errors import BrokerError
from broker.protocols.losses import MalformedRequest
from broker.store.reference import markdown
from workers.classify import Verdict
from workers.retry import decide

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INSIDE = ("broker.testing", "broker.transport", "broker.limits")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")


def _table(page: str, heading: str) -> list[list[str]]:
    """Rows of the first table below a heading, as cells."""
    section = (DOCS / page).read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" |") for cell in row] for row in rows[2:]]


def _moves(page: str, heading: str) -> dict[str, set[str]]:
    return {
        row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2] if len(row) > 2 else "")) for row in _table(page, heading)
    }


def _codes() -> set[str]:
    """Codes of every error that a command may end with; those between feeder and queue never get that far."""
    for module in pkgutil.walk_packages(broker.__path__, "broker."):
        if not module.name.startswith(INSIDE) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, classes = set(), [BrokerError]
    while classes:
        error = classes.pop()
        classes += error.__subclasses__()
        if (
            error is not BrokerError
            and error.__module__.startswith("broker.")
            and not error.__module__.startswith(INSIDE)
        ):
            found.add(error.code)
    return found


def test_the_tables_page_is_what_the_tables_are() -> None:
    page = (DOCS / "reference/schema.md").read_text(encoding="utf-8")
    assert page == markdown(), "run python -m broker.store.reference"


def test_the_states_page_lists_the_moves_of_a_batch() -> None:
    assert _moves("states.md", "Batch") == {state.value: {to.value for to in tos} for state, tos in batch.MOVES.items()}


def test_the_states_page_lists_the_moves_of_an_attempt() -> None:
    expected = {state.value: {to.value for to in tos} for state, tos in attempt.MOVES.items()}
    assert _moves("states.md", "Attempt") == expected


def test_the_errors_page_lists_every_error_class_once() -> None:
    listed = [row[0].strip("`") for row in _table("reference/errors.md", "Error classes of a call")]
    assert sorted(listed) == sorted(error_class.value for error_class in ErrorClass)


def test_the_errors_page_says_which_errors_use_up_a_try() -> None:
    by_nobody = {ErrorClass.LOST, ErrorClass.ABORTED, ErrorClass.WORKER_CRASH}  # never decided after a call
    for name, _, state, follows in _table("reference/errors.md", "Error classes of a call"):
        error_class = ErrorClass(name.strip("`"))
        if error_class in by_nobody:
            continue
        scope = attempt.Scope.NEVER if follows.startswith("fails") else attempt.Scope.SAME
        error = attempt.CallError(error_class=error_class, scope=scope, message="")
        verdict = Verdict(state=attempt.AttemptState(state), error=error)
        outcome = decide(verdict, {}, policy=RetryPolicy(), random=0.5)
        assert isinstance(outcome, Waiting) == follows.startswith("waits"), name
        assert isinstance(outcome, Finished) == follows.startswith("fails"), name


def test_the_errors_page_lists_every_code_of_ours() -> None:
    rows = _table("reference/errors.md", "Our own errors")
    listed = {code for row in rows for code in re.findall(r"`(\w+)`", row[0])}
    assert listed == _codes()


def test_the_losses_page_lists_every_code_of_a_loss() -> None:
    trees = [ast.parse(path.read_text()) for path in (ROOT / "broker/protocols").rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {word.value for call in calls for word in call.keywords if word.arg == "code"}
    noted = {
        call.args[1]
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in _NOTES and len(call.args) > 1
    }
    codes = {str(node.value) for node in (*named, *noted) if isinstance(node, ast.Constant)}
    listed = [row[0].strip("`") for row in _table("reference/losses.md", "Codes")]
    assert sorted(listed) == sorted({*codes, MalformedRequest.code})


_NOTES = ("hint", "sampling", "converted", "content")


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken

"""The shipped examples are valid: the batch, the configuration and the simulator agree with each other."""

import io
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from broker.domain.account import Account
from broker.domain.route import Routes
from broker.intake.duplicates import DuplicateFinder
from broker.intake.jsonl import Row, read_rows
from broker.intake.source import opened_source
from broker.settings import load
from workers.provider_sim import config as simulator
from workers.provider_sim.config import KeyConfig

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
JOBS = EXAMPLES / "labeling.jsonl"


def _bodies() -> list[dict[str, Any]]:
    return [json.loads(line)["body"] for line in JOBS.read_text(encoding="utf-8").splitlines()]


def _accounts() -> tuple[Account, ...]:
    return tuple(load(EXAMPLES / "penstock.toml").accounts)


def _keys() -> dict[str, KeyConfig]:
    return {key.name: key for key in simulator.load(EXAMPLES / "sim.toml").keys}


def test_every_row_of_the_example_batch_is_accepted(tmp_path: Path) -> None:
    routes = Routes(_accounts()).of_any(_accounts())
    with opened_source(str(JOBS), directory=tmp_path, standard_input=io.BytesIO()) as source:
        rows = list(read_rows(source, routes=routes))
    assert [row for row in rows if not isinstance(row, Row)] == []
    with DuplicateFinder(tmp_path) as finder:
        for row in rows:
            if isinstance(row, Row):
                finder.add(row.custom_id, line=row.line, position=row.position)
        assert list(finder.duplicates()) == []


def test_the_example_batch_is_a_few_hundred_varied_rows() -> None:
    bodies = _bodies()
    names = [json.loads(line)["custom_id"].split("-") for line in JOBS.read_text(encoding="utf-8").splitlines()]
    assert 250 <= len(bodies) <= 400
    assert len({json.dumps(body, sort_keys=True) for body in bodies}) == len(bodies)
    assert len({name[1] for name in names if len(name) == 3}) >= 10  # languages
    assert set(Counter(name[0] for name in names)) == {"ticket", "review", "bug", "similar"}
    assert sum("response_format" in body for body in bodies) >= 50
    assert sum("input" in body for body in bodies) >= 20


def test_the_accounts_declare_the_limits_that_the_simulator_enforces() -> None:
    keys = _keys()
    for account in _accounts():
        key = keys[account.name]
        declared = {name: limit for name, limit in asdict(account.limits).items() if limit is not None}
        assert declared == {name: getattr(key, name) for name in declared}
        assert [name for name in asdict(account.limits) if getattr(key, name, None) is not None] == list(declared)


def test_the_accounts_use_models_that_the_simulator_serves() -> None:
    served = set(simulator.load(EXAMPLES / "sim.toml").models)
    assert {theirs for account in _accounts() for theirs in account.models.values()} == served


def test_every_model_of_an_account_has_a_price() -> None:
    for account in _accounts():
        assert set(account.prices) == set(account.models)

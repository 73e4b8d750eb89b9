"""The dependency rules of the tree, as import-linter contracts in pyproject.toml."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).resolve().parents[2]


def _contracts() -> list[dict[str, Any]]:
    contracts: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    return contracts


def test_every_import_contract_holds() -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_no_contract_has_an_exception() -> None:
    for contract in _contracts():
        assert not [key for key in contract if key.startswith("ignore")], contract["name"]


def test_the_simulated_provider_imports_no_other_module_of_the_workers() -> None:
    graph = grimp.build_graph("workers")
    simulator = {"workers.provider_sim", *graph.find_descendants("workers.provider_sim")}
    imported = set().union(*(graph.find_modules_directly_imported_by(module) for module in simulator))
    assert {module for module in imported - simulator if module != "workers"} == set()

"""The demo: starts the simulated provider, drains the example batch through `penstock run`, shows what came out.

python examples/demo.py
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "demo"
PENSTOCK = Path(sys.executable).with_name("penstock")
JOBS = HERE / "labeling.jsonl"
URL_IN_CONFIG = "http://127.0.0.1:8471"
SECRETS = {"SIM_NORTH": "north-secret", "SIM_SOUTH": "south-secret", "SIM_HARBOUR": "harbour-secret"}
START_S = 20.0
STOP_S = 10.0
ANSWERS_SHOWN = 8
FIRST_SHOWN = 3


def main() -> int:
    """Run the demo; returns the exit status of `penstock run`."""
    run = _new_folder()
    with _simulator(run) as url:
        config = run / "penstock.toml"
        config.write_text((HERE / "penstock.toml").read_text().replace(URL_IN_CONFIG, url))
        output, database = run / "answers.jsonl", f"sqlite:///{run / 'penstock.db'}"
        files: list[str | Path] = ["--config", config, "--output", output, "--database", database]
        print(f"draining {JOBS.name} through three accounts; about 40 seconds\n", flush=True)
        status = _penstock("run", JOBS, *files)
        if status not in {0, 1} or not output.exists():
            return status
        _show_answers(output)
        for by in ("account", "model"):
            print(f"\nuse by {by}", flush=True)
            _penstock("usage", "--by", by, "--database", database)
        _show_provider_side(url)
    print(f"\nthe output:   {_short(output)}\nthe database: {_short(run / 'penstock.db')}")
    return status


def _new_folder() -> Path:
    """Make the next free folder below ./demo, so that nothing of an earlier demo is in the way."""
    FOLDER.mkdir(exist_ok=True)
    taken = [int(path.name) for path in FOLDER.iterdir() if path.name.isdigit()]
    folder = FOLDER / f"{max(taken, default=0) + 1:03d}"
    folder.mkdir()
    return folder


@contextmanager
def _simulator(run: Path) -> Iterator[str]:
    """Run the simulated provider on a free port, and stop it whatever happens; gives its URL."""
    ready, log = run / "simulator.url", run / "simulator.log"
    command: list[str | Path] = [
        PENSTOCK,
        "provider-sim",
        "--config",
        HERE / "sim.toml",
        "--port",
        "0",
        "--ready-file",
        ready,
    ]
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C is for `penstock run`, which still needs its provider to drain
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield _when_ready(process, ready, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _when_ready(process: "subprocess.Popen[bytes]", ready: Path, log: Path) -> str:
    deadline = time.monotonic() + START_S
    while not (ready.exists() and ready.read_text().strip()):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the simulated provider did not start:\n{log.read_text()}")
        time.sleep(0.05)
    return ready.read_text().strip()


def _penstock(*arguments: str | Path) -> int:
    environment = {**os.environ, **SECRETS}  # noqa: TID251  # hands the simulator's keys to the command
    process = subprocess.Popen([PENSTOCK, *arguments], env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # it got the signal too, and decides what to do about it
            continue


def _show_answers(output: Path) -> None:
    prompts = {row["custom_id"]: row["body"] for row in _rows(JOBS)}
    answers = {row["custom_id"]: row for row in _rows(output)}
    every = max(1, len(prompts) // ANSWERS_SHOWN)
    table = [
        (name, _cut(_text_of(prompts[name]), 52), _cut(_answer_of(answers.get(name)), 34))
        for name in list(prompts)[FIRST_SHOWN::every][:ANSWERS_SHOWN]
    ]
    print(f"\n{len(answers)} answers, among them (the simulator answers with a label and a digest of the text):\n")
    _print_table([("row", "text", "answer"), *table])


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _text_of(body: dict[str, Any]) -> str:
    if "messages" in body:
        return str(body["messages"][-1]["content"])
    texts = body["input"]
    return texts if isinstance(texts, str) else f"{texts[0]} (+ {len(texts) - 1} more)"


def _answer_of(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    if row["error"] is not None:
        return f"error: {row['error']['code']}"
    body = row["response"]["body"]
    if "choices" in body:
        return str(body["choices"][0]["message"]["content"])
    if "data" in body:
        return f"{len(body['data'])} x {len(body['data'][0]['embedding'])} numbers"
    return f"status {row['response']['status_code']}"


def _show_provider_side(url: str) -> None:
    with urllib.request.urlopen(f"{url}/sim/stats", timeout=10) as response:  # noqa: S310  # our own simulator
        stats = json.load(response)
    faults = ", ".join(f"{count} x {kind}" for kind, count in sorted(stats["faults"].items())) or "none"
    print(f"\nthe provider's own books: {stats['paid']} paid calls; faults it played: {faults}")


def _print_table(table: list[tuple[str, str, str]]) -> None:
    widths = [max(_width(cell) for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join(cells).rstrip())


def _width(text: str) -> int:
    """Return the columns that a text takes in a terminal: Chinese and Japanese signs take two."""
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _cut(text: str, columns: int) -> str:
    while _width(text) > columns:
        text = text[:-2] + "…"
    return text


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    sys.exit(main())

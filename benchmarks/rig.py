"""What the speed benchmarks share: a simulator, a configuration, and the command as a user runs it."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PENSTOCK = Path(sys.executable).with_name("penstock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One finished run of a command."""

    summary: dict[str, Any]
    """The JSON of its last line of standard output."""
    errors: str
    cpu_s: float
    peak_mib: float


def run(command: Sequence[str | Path]) -> Run:
    """Run a command to its end; exits with its output if it failed."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(words, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said = errors.read().decode()
        if process.returncode:
            sys.exit(f"{' '.join(words)} ended with {process.returncode}:\n{said}")
        return Run(
            summary=json.loads(output.read().splitlines()[-1]),
            errors=said,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mib=usage.ru_maxrss / 1024,
        )


def jobs(folder: Path, rows: int) -> Path:
    """A batch file of rows of about 1.5 KB."""
    path = folder / f"jobs-{rows}.jsonl"
    command = [sys.executable, HERE / "make_jobs.py", "--rows", str(rows), "--model", "sim-small", "-o", path]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return path


def accounts(folder: Path, base_url: str, names: Sequence[str], more: str) -> Path:
    """A configuration with one account per name, each of whose keys is its name."""
    text = ""
    for name in names:
        key = folder / f"{name}.key"
        key.write_text(name)
        text += (
            f'[[accounts]]\nname = "{name}"\nprovider = "penstock-sim"\nbase_url = "{base_url}"\n'
            f'api_key = "file:{key}"\nmodels = ["sim-small"]\n{more}\n'
        )
    path = folder / "penstock.toml"
    path.write_text(text)
    return path


def penstock_run(folder: Path, batch: Path, config: Path, *, program: Sequence[str | Path] = (PENSTOCK,)) -> Run:
    """Drain a batch into a fresh database and a fresh output file."""
    for old in folder.glob("penstock.db*"):
        if old.is_file():
            old.unlink()
    output = folder / "output.jsonl"
    output.unlink(missing_ok=True)
    return run(
        [
            *(*program, "run", batch, "--json", "--config", config),
            *("--output", output, "--database", f"sqlite:///{folder / 'penstock.db'}"),
        ]
    )


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], form: str = ".0f") -> str:
    """Median with the lowest and the highest."""
    return f"{median(values):{form}} [{min(values):{form}} to {max(values):{form}}]"

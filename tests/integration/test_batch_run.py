"""A run within this process: when it looks, when it ends, and how it stops while it reads."""

import asyncio
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from broker.batch_run import LOOK_S, BatchRun, RunEnd, RunOptions, StoppedWhileReading
from broker.delivery.files import Order
from broker.domain.batch import Batch, BatchState
from broker.intake.source import opened_source
from broker.progress import Progress
from broker.settings.load import parse
from broker.store import batches, manifest
from broker.store.engine import open_database
from workers.provider_sim.config import KeyConfig, LatencyConfig, SimConfig
from workers.provider_sim.server import ProviderSim

LIMIT_S = 30.0


class Seen:
    """A view that keeps what it is shown."""

    def __init__(self, when_reading: Callable[[int], None] = lambda _: None) -> None:
        self.shown: list[Progress] = []
        self.resumed: bool | None = None
        self._when_reading = when_reading

    def receiving(self, rows: int) -> None:
        self._when_reading(rows)

    def accepted(self, batch: Batch, *, resumed: bool) -> None:
        assert batch.state is BatchState.RUNNING
        self.resumed = resumed

    def show(self, progress: Progress) -> None:
        self.shown.append(progress)


def write_jobs(folder: Path, count: int, models: Sequence[str] = ("m",)) -> Path:
    path = folder / "jobs.jsonl"
    lines = []
    for number in range(count):
        body = {"model": models[number % len(models)], "messages": [{"role": "user", "content": f"question {number}"}]}
        row = {"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(json.dumps(row) + "\n")
    path.write_text("".join(lines))
    return path


async def run_in(
    folder: Path,
    view: Seen,
    *,
    latency_s: float = 0.0,
    look_s: float = LOOK_S,
    begun: Callable[[BatchRun], None] = lambda _: None,
    keys: Mapping[str, KeyConfig] = MappingProxyType({"m": KeyConfig(name="k")}),
) -> RunEnd:
    """Run `jobs.jsonl` of this folder against a provider of its own, with an account for each model and its key."""
    config = SimConfig(port=0, keys=tuple(keys.values()), latency=LatencyConfig(first_token_s=latency_s))
    options = RunOptions(
        jobs=str(folder / "jobs.jsonl"),
        output=folder / "out.jsonl",
        errors=None,
        database_url=f"sqlite:///{folder / 'penstock.db'}",
        order=Order.COMPLETION,
        lenient=False,
        new=False,
        tag="",
    )
    for key in keys.values():
        (folder / key.name).write_text(key.name)
    async with ProviderSim(config) as sim, asyncio.timeout(LIMIT_S):
        sections = [
            f'[[accounts]]\nname = "account-{model}"\nprovider = "openai"\nbase_url = "{sim.base_url}"\n'
            f'api_key = "file:{folder / key.name}"\nmodels = ["{model}"]\nworker_concurrency = 8\n'
            for model, key in keys.items()
        ]
        settings = parse("".join(sections), folder / "penstock.toml")
        batch_run = BatchRun(options, settings, view, look_s=look_s)
        begun(batch_run)
        with opened_source(options.jobs, directory=folder, standard_input=io.BytesIO()) as source:
            return await batch_run.run(source)


def test_a_run_looks_a_few_times_a_second_however_often_it_commits(tmp_path: Path) -> None:
    write_jobs(tmp_path, 300)
    view = Seen()
    end = asyncio.run(run_in(tmp_path, view, latency_s=0.02))
    assert end.report.batch.counts.succeeded == 300
    assert len(view.shown) <= end.elapsed_s / LOOK_S + 3
    assert view.shown[0].batch.counts.total == 300


def test_the_last_result_ends_a_run_without_waiting_for_the_next_look(tmp_path: Path) -> None:
    write_jobs(tmp_path, 20)
    end = asyncio.run(run_in(tmp_path, Seen(), latency_s=0.05, look_s=10 * LIMIT_S))
    assert end.finished
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 20


def test_a_stop_ends_a_run_without_waiting_for_the_next_look(tmp_path: Path) -> None:
    write_jobs(tmp_path, 500)

    def stop_soon(batch_run: BatchRun) -> None:
        asyncio.get_running_loop().call_later(0.5, batch_run.stop)

    view = Seen()
    end = asyncio.run(run_in(tmp_path, view, latency_s=0.05, look_s=10 * LIMIT_S, begun=stop_soon))
    assert [progress.stopping for progress in view.shown] == [False, True]
    assert not end.finished
    assert end.error is None
    assert end.report.attempts.keys() <= {"ok"}


def test_a_run_ends_when_nobody_can_take_what_is_left(tmp_path: Path) -> None:
    write_jobs(tmp_path, 40, models=("good", "bad"))
    keys = {"good": KeyConfig(name="k"), "bad": KeyConfig(name="revoked", revoked_after_calls=3)}
    end = asyncio.run(run_in(tmp_path, Seen(), keys=keys))
    assert not end.finished
    assert end.report.batch.counts.succeeded == 23
    assert "no account can go on with what is left (account-bad is revoked: Incorrect API key" in str(end.error)
    assert "account-good" not in str(end.error)


def test_a_run_that_raised_can_still_be_summed_up(tmp_path: Path) -> None:
    write_jobs(tmp_path, 20)
    runs: list[BatchRun] = []

    class Broken(Seen):
        def show(self, progress: Progress) -> None:
            raise ValueError("a defect")

    with pytest.raises(ExceptionGroup):
        asyncio.run(run_in(tmp_path, Broken(), latency_s=0.05, begun=runs.append))
    assert runs[0].accepted
    assert asyncio.run(runs[0].stands()).report.batch.counts.total == 20


def test_a_stop_while_reading_keeps_what_was_read(tmp_path: Path) -> None:
    rows = 6_000
    write_jobs(tmp_path, rows)
    runs: list[BatchRun] = []
    view = Seen(when_reading=lambda _: runs[0].stop())
    with pytest.raises(StoppedWhileReading):
        asyncio.run(run_in(tmp_path, view, begun=runs.append))
    assert view.resumed is None
    assert not (tmp_path / "out.jsonl").exists()

    async def stored() -> int:
        database = open_database(f"sqlite:///{tmp_path / 'penstock.db'}")
        (batch,) = await database.read(batches.newest, 2)
        assert batch.state is BatchState.RECEIVING
        count = len(await database.read(manifest.segment_rows, batch.id))
        await database.close()
        return count

    seen_rows: list[int] = []

    def read_then_stop(number: int) -> None:
        seen_rows.append(number)
        if len(seen_rows) == 2:
            runs[-1].stop()

    view = Seen(when_reading=read_then_stop)
    with pytest.raises(StoppedWhileReading):
        asyncio.run(run_in(tmp_path, view, begun=runs.append))
    assert 0 < asyncio.run(stored()) < 7
    first_look = Seen()
    again = asyncio.run(run_in(tmp_path, first_look, begun=lambda run: stop_when_accepted(run, first_look)))
    assert again.report.batch.counts.total == rows
    assert asyncio.run(stored_in_all(tmp_path)) == rows


def stop_when_accepted(batch_run: BatchRun, view: Seen) -> None:
    """Nothing more is learned from answering six thousand rows."""
    accepted = view.accepted

    def stop(batch: Batch, *, resumed: bool) -> None:
        accepted(batch, resumed=resumed)
        batch_run.stop()

    view.accepted = stop  # type: ignore[method-assign]  # this view is the test's own


async def stored_in_all(folder: Path) -> int:
    database = open_database(f"sqlite:///{folder / 'penstock.db'}")
    (batch,) = await database.read(batches.newest, 2)
    count = sum(row.jobs for row in await database.read(manifest.segment_rows, batch.id))
    await database.close()
    return count

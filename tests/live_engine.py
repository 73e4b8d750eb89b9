"""A real engine on a real database against a simulator on real HTTP, in one event loop."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from broker.domain.account import Account
from broker.domain.batch import TERMINAL, Batch
from broker.domain.clock import Clock
from broker.domain.dialect import OPENAI_FAMILY
from broker.domain.outcome import RetryPolicy
from broker.feeder.fair_share import StartBonus
from broker.intake.accept import accept
from broker.intake.source import opened_source
from broker.store import batches
from broker.store.engine import Database, open_database
from broker.store.manifest import NewBatch
from broker.store.plan import Plan
from broker.testing.judge import Books, Judgement, Row, judge, read_books, sums_over_batches
from broker.wiring.embedded import Engine
from broker.wiring.supply import all_routes
from workers.bench import Watch
from workers.provider_sim.answers import expected_text
from workers.provider_sim.config import SimConfig
from workers.provider_sim.server import ProviderSim
from workers.work import Step, Work

DEADLINE_S = 60.0
IMPATIENT = RetryPolicy(backoff_base_s=0.01, backoff_cap_s=0.05)
MODEL = "m"


def ignore(_step: Step, _work: Work) -> None:
    """A watch that sees nothing."""


@dataclass(kw_only=True)
class Scene:
    """One database, one provider, and what was submitted."""

    folder: Path
    database: Database
    sim: ProviderSim
    accounts: Sequence[Account]
    expected: dict[int, dict[str, str]] = field(default_factory=dict)
    """By batch: the right answer to each job."""
    waits: set[str] = field(default_factory=set)
    """Why workers said that they wait."""

    async def submit(self, jobs: int, *, name: str = "batch", weight: float = 1.0) -> int:
        """Accept a batch of short prompts."""
        path = self.folder / f"{name}.jsonl"
        expected = {}
        with path.open("w") as file:
            for row in range(jobs):
                text = f"what is row {row} of {name}?"
                expected[f"row-{row}"] = expected_text(text)
                body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
                line = {"custom_id": f"row-{row}", "method": "POST", "url": "/v1/chat/completions", "body": body}
                file.write(json.dumps(line) + "\n")
        new = NewBatch(
            project="default", submission_id=name, body_hash=name, dialect="openai", source=name, weight=weight
        )
        with (
            path.open("rb") as unused,
            opened_source(str(path), directory=self.folder, standard_input=unused) as source,
        ):
            accepted = await accept(self.database, source, new, routes=all_routes(self.accounts), scratch=self.folder)
        self.expected[accepted.batch_id] = expected
        return accepted.batch_id

    def engine(
        self,
        *,
        policy: RetryPolicy = IMPATIENT,
        watch: Watch = ignore,
        clock: Clock | None = None,
        bonus: StartBonus | None = None,
        only: Collection[int] | None = None,
        committed: Callable[[Plan], None] = lambda _: None,
    ) -> Engine:
        return Engine(
            self.database,
            self.accounts,
            policy=policy,
            watch=watch,
            clock=clock,
            bonus=bonus,
            only=only,
            committed=committed,
        )

    async def until(self, engine: Engine, condition: Callable[[], bool]) -> None:
        """Wait for something that a commit or a worker's next look brings about."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self.waits.update(worker.pipeline.waits_for or "" for worker in engine.workers)
                await engine.changed(0.02)

    async def batch(self, batch_id: int) -> Batch:
        return await self.database.read(batches.get, batch_id)

    async def drain(self, engine: Engine, batch_id: int = 1) -> None:
        """Run until this batch has ended, then stop."""
        async with asyncio.timeout(DEADLINE_S), running(engine):
            await self.ended(engine, batch_id)

    async def ended(self, engine: Engine, batch_id: int = 1) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while (await self.batch(batch_id)).state not in TERMINAL:
                self.waits.update(worker.pipeline.waits_for or "" for worker in engine.workers)
                await engine.changed(0.05)

    def paid(self) -> list[Row]:
        return [asdict(call) for call in self.sim.ledger]

    async def books(self, batch_id: int = 1) -> Books:
        return await read_books(self.database, batch_id)

    async def judged(self) -> Judgement:
        """Compare the one batch with the provider's ledger; what holds for any batch is checked here."""
        books = await self.books()
        judgement = judge(books, self.paid(), self.expected[1])
        assert judgement.broken == []
        assert sums_over_batches([books]) == []
        return judgement

    async def endings(self, batch_id: int = 1) -> Counter[tuple[str, str | None]]:
        """Attempts by state and error class."""
        return Counter((row["state"], row["error_class"]) for row in (await self.books(batch_id)).attempts)


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator["asyncio.Task[None]"]:
    """Run an engine for as long as the block runs; then it drains."""
    async with asyncio.TaskGroup() as tasks:
        yield tasks.create_task(engine.run())
        engine.stop()


def an_account(folder: Path, sim: ProviderSim, key: str = "a", **changes: Any) -> Account:
    """An account of the simulator; a key's secret is its name."""
    secret = folder / f"{key}.key"
    secret.write_text(key)
    account = Account(
        name=key,
        provider="openai-compatible",
        protocols=OPENAI_FAMILY,
        base_url=sim.base_url,
        models={MODEL: MODEL},
        secret=f"file:{secret}",
        worker_concurrency=16,
    )
    return replace(account, **changes)


@asynccontextmanager
async def scene(
    url: str,
    folder: Path,
    *,
    keys: Sequence[Mapping[str, Any]] = ({"name": "a"},),
    account: Mapping[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[Scene]:
    """A migrated database and a simulator with an account for each of its keys."""
    async with ProviderSim(SimConfig.model_validate({**config, "keys": keys})) as sim:
        database = open_database(url)
        accounts = [an_account(folder, sim, key["name"], **(account or {})) for key in keys]
        try:
            yield Scene(folder=folder, database=database, sim=sim, accounts=accounts)
        finally:
            await database.close()

"""One batch file through the embedded mode: from intake to its output files, resumable at any moment."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from broker.delivery.files import Export, Order, OutputFiles
from broker.domain.batch import TERMINAL, Batch
from broker.errors import AccountError, CallerError
from broker.intake.accept import Accepted, accept
from broker.intake.source import Source, digest, opened_source
from broker.progress import Observer, Progress
from broker.settings import Settings, check_secrets
from broker.store import batches, lock, manifest, migrate
from broker.store.engine import Database, open_database
from broker.store.manifest import NewBatch, SubmissionConflict
from broker.wiring import Engine, all_routes, serving

PROJECT = "default"
DIALECT = "openai"
LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `penstock run` was asked for."""

    jobs: str
    """A path, or `-`."""
    output: Path
    errors: Path | None
    database_url: str
    order: Order
    lenient: bool
    new: bool
    tag: str


class View(Protocol):
    """Whoever watches a run."""

    def receiving(self, rows: int) -> None:
        """So many rows were read so far."""
        ...

    def accepted(self, batch: Batch, *, resumed: bool) -> None:
        """The batch is in, and work begins."""
        ...

    def show(self, progress: Progress) -> None:
        """How it stands, about twice a second."""
        ...


class BatchRun:
    """A run of one file. `stop` drains what is in flight; cancelling `run` aborts it."""

    def __init__(self, options: RunOptions, settings: Settings, view: View) -> None:
        self._options = options
        self._settings = settings
        self._view = view
        self._engine: Engine | None = None
        self._stopping = False

    def stop(self) -> None:
        """Start nothing more."""
        self._stopping = True
        if self._engine is not None:
            self._engine.stop()

    async def run(self) -> Progress:
        """Run to the end, or to `stop`; returns how it stands then.

        Raises `CallerError`, `ConfigError` and `StoreError` before anything was started, and `AccountError` when
        no account can go on.
        """
        options = self._options
        _check_paths(options)
        async with _opened(options.database_url) as database:
            with opened_source(
                options.jobs, directory=options.output.absolute().parent, standard_input=sys.stdin.buffer
            ) as source:
                accepted = await self._accept(database, source)
            batch = await database.read(batches.get, accepted.batch_id)
            with OutputFiles(options.output, options.errors) as files:
                self._view.accepted(batch, resumed=accepted.known)
                export = Export(database, batch.id, files, options.order)
                progress = await self._drain(database, batch, export)
                await export.catch_up()
            return progress

    async def _accept(self, database: Database, source: Source) -> Accepted:
        options = self._options
        new = NewBatch(
            project=PROJECT,
            submission_id=f"run:{DIALECT}:{options.output.absolute()}",
            body_hash=await asyncio.to_thread(digest, source),
            dialect=DIALECT,
            source=source.name,
            output=str(options.output.absolute()),
            tag=options.tag,
        )
        await self._check_output(database, new)
        try:
            return await accept(
                database,
                source,
                new,
                routes=all_routes(self._settings.accounts),
                scratch=options.output.absolute().parent,
                lenient=options.lenient,
                replace=options.new,
                progress=self._view.receiving,
            )
        except SubmissionConflict as conflict:
            raise CallerError(
                f"{options.output} belongs to batch {conflict.batch_id}, which had another input; "
                "name another --output, or start over with --new"
            ) from conflict

    async def _check_output(self, database: Database, new: NewBatch) -> None:
        """A file that we did not write is not overwritten without being told to."""
        path = self._options.output
        known = await database.read(manifest.submitted, new.project, new.submission_id)
        if known is None and not self._options.new and path.exists() and path.stat().st_size:
            raise CallerError(
                f"{path} exists and was not written by a run in this database; name another --output, "
                "or overwrite it with --new"
            )

    async def _drain(self, database: Database, batch: Batch, export: Export) -> Progress:
        routes = await database.read(manifest.routes, batch.id)
        accounts = serving(self._settings.accounts, routes)
        finished = batch.state in TERMINAL
        if not finished:
            check_secrets(accounts, self._settings.key_origins)
        engine = Engine(
            database,
            () if finished else accounts,
            policy=self._settings.retry_policy,
            only=[batch.id],
        )
        self._engine = engine
        observer = Observer(engine, batch.id)
        if finished or self._stopping:
            return await observer.look()
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(export.follow(lambda: engine.changed(LOOK_S)))
            tasks.create_task(self._watch(engine, observer))
            await engine.run()
            following.cancel()
        return await observer.look()

    async def _watch(self, engine: Engine, observer: Observer) -> None:
        """Show how it stands until the batch has ended, then stop the engine."""
        while True:
            progress = await observer.look()
            self._view.show(progress)
            if progress.batch.state in TERMINAL or self._stopping:
                engine.stop()
                return
            blocked = engine.blocked()
            if len(blocked) == len(engine.workers) and not progress.in_flight:
                engine.stop()
                raise AccountError(
                    "no account can go on: "
                    + "; ".join(f"{name}: {reason}" for name, reason in sorted(blocked.items()))
                    + ". Mend one, then run the same command again: it resumes."
                )
            await engine.changed(LOOK_S)
            await engine.clock.sleep(LOOK_S / 5)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = open_database(url)
    try:
        async with lock.held(database):
            await database.write(migrate.upgrade)
            yield database
    finally:
        await database.close()


def _check_paths(options: RunOptions) -> None:
    named = {"--output": options.output, "--errors": options.errors, "the input": Path(options.jobs)}
    seen: dict[Path, str] = {}
    for name, path in named.items():
        if path is None or str(path) == "-":
            continue
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise CallerError(f"{other} and {name} are the same file, {path}; name another one")

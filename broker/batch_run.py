"""One batch file through the embedded mode: from intake to its output files, resumable at any moment."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from broker.accounting.reports import BatchReport, batch_report
from broker.delivery.files import Export, Order, OutputFiles, OutputNotWritten
from broker.domain.account import Account
from broker.domain.batch import TERMINAL, Batch, BatchState
from broker.domain.clock import Clock, SystemClock
from broker.errors import AccountError, BrokerError, CallerError, ConfigError, StoreUnavailable
from broker.intake.accept import Accepted, accept
from broker.intake.layout import layout_of
from broker.intake.options import InputOptions
from broker.intake.source import Source, digest
from broker.progress import Observer, Progress
from broker.settings import Settings, check_secrets
from broker.store import batches, lock, manifest, migrate, standing, usage
from broker.store.engine import Database, SQLiteDatabase, open_database
from broker.store.manifest import NewBatch, SubmissionConflict
from broker.store.plan import Plan
from broker.wiring.embedded import Engine
from broker.wiring.supply import all_routes, serving

PROJECT = "default"
LOOK_S = 0.25
"""Between two looks at a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `penstock run` was asked for."""

    jobs: str
    """A path, `-`, or `batch:7`."""
    output: Path
    errors: Path | None
    database_url: str
    order: Order
    lenient: bool
    new: bool
    tag: str
    given: InputOptions = field(default_factory=InputOptions)

    @property
    def batch(self) -> int | None:
        """The batch to run that is in the database already; `None`: it is to be read from `jobs`."""
        word, _, number = self.jobs.partition(":")
        return int(number) if word == "batch" and number.isascii() and number.isdigit() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended that had a batch to run."""

    report: BatchReport
    elapsed_s: float
    """Of this run, from acceptance on."""
    resumed: bool
    error: BrokerError | None = None
    """Why it could not go on: what is in the ledger is safe, and the same command goes on from there."""

    @property
    def finished(self) -> bool:
        return self.report.batch.state in TERMINAL


class StoppedWhileReading(Exception):
    """The run was told to stop before its batch was accepted; what was read is kept."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"stopped while reading the input, after {rows:,} rows")


class View(Protocol):
    """Whoever watches a run. Raises nothing."""

    def receiving(self, rows: int) -> None:
        """So many rows were read so far."""
        ...

    def accepted(self, batch: Batch, *, resumed: bool) -> None:
        """The batch is in, and work begins."""
        ...

    def show(self, progress: Progress) -> None:
        """How it stands, up to four times a second."""
        ...


class BatchRun:
    """A run of one file. `stop` drains what is in flight; cancelling `run` aborts it."""

    def __init__(
        self,
        options: RunOptions,
        settings: Settings,
        view: View,
        *,
        clock: Clock | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        self._options = options
        self._settings = settings
        self._view = view
        self._clock = clock or SystemClock()
        self._look_s = look_s
        self._files = OutputFiles(options.output, options.errors)
        self._engine: Engine | None = None
        self._export: Export | None = None
        self._began = 0.0
        self._resumed = False
        self._look = asyncio.Event()
        """Set when waiting for the next look is of no use: the batch ended, or the run is to stop."""
        self.stopping = False

    @property
    def accepted(self) -> bool:
        """From here on calls may have been made, and results are in the ledger."""
        return self._export is not None

    def stop(self) -> None:
        """Start nothing more."""
        self.stopping = True
        self._look.set()
        if self._engine is not None:
            self._engine.stop()

    async def run(self, source: Source | None) -> RunEnd:
        """Run to the end, or to `stop`; returns how it ended. The files have passed `OutputFiles.check`.

        `source` is `None` for a batch that is in the database already.

        Raises `CallerError`, `ConfigError` and `StoreError` before anything was started, `StoppedWhileReading` when
        it was stopped by then, and later only what makes it impossible to read the ledger.
        """
        async with _opened(self._options.database_url) as database:
            accepted = await (self._adopt(database) if source is None else self._accept(database, source))
            batch = await database.read(batches.get, accepted.batch_id)
            accounts = () if batch.state in TERMINAL else await self._accounts(database, batch)
            with self._files:
                self._export = export = Export(database, batch.id, self._files, self._options.order, batch.form)
                self._began, self._resumed = self._clock.monotonic(), accepted.known
                self._view.accepted(batch, resumed=accepted.known)
                error = await self._drain(database, batch, accounts, export) if accounts else None
                try:
                    await export.catch_up()
                except OutputNotWritten as problem:
                    error = problem
            return await self._end(database, export, error)

    async def stands(self) -> RunEnd:
        """How the accepted batch stands after `run` raised; raises `StoreUnavailable`. Does not hold the database."""
        if self._export is None:
            raise ValueError("no batch was accepted")
        database = open_database(self._options.database_url)
        try:
            return await self._end(database, self._export, None)
        finally:
            await database.close()

    async def _end(self, database: Database, export: Export, error: BrokerError | None) -> RunEnd:
        batch_id = export.batch_id
        batch = await database.read(batches.get, batch_id)
        stands = await database.read(standing.standing, batch_id, batch.counts.finished)
        groups = await database.read(usage.attempts_of, batch_id)
        return RunEnd(
            report=batch_report(batch, groups, last_result_at=stands.last_result_at, error_codes=export.error_codes),
            elapsed_s=self._clock.monotonic() - self._began,
            resumed=self._resumed,
            error=error,
        )

    async def _accept(self, database: Database, source: Source) -> Accepted:
        options, given = self._options, self._options.given
        layout = await asyncio.to_thread(layout_of, source, dialect=given.dialect, model=given.model)
        new = NewBatch(
            project=PROJECT,
            submission_id=f"run:openai:{options.output.absolute()}",  # whatever its form: a file has one owner
            body_hash=given.identity(await asyncio.to_thread(digest, source)),
            dialect=layout.form,
            source=_place(options.jobs, source),
            output=str(options.output.absolute()),
            tag=options.tag,
            on_loss=given.on_loss,
            use=given.use,
        )
        await self._check_files(database, new)
        try:
            return await accept(
                database,
                source,
                new,
                routes=all_routes(self._settings.accounts),
                scratch=options.output.absolute().parent,
                layout=layout,
                lenient=options.lenient,
                replace=options.new,
                progress=self._received,
            )
        except SubmissionConflict as conflict:
            raise CallerError(
                f"{options.output} belongs to batch {conflict.batch_id}, which had another input "
                "(or other options); name another --output, or start over with --new"
            ) from conflict

    async def _adopt(self, database: Database) -> Accepted:
        """Take up a batch that was submitted, or that continues another one; from now on its output is ours."""
        output = str(self._options.output.absolute())
        batch = await database.read(batches.get, self._options.batch or 0)
        if batch.state is BatchState.RECEIVING:
            raise CallerError(f"the input of batch {batch.id} has not been read to its end; submit it again first")
        if batch.output not in (None, output) and not self._options.new:
            raise CallerError(
                f"the results of batch {batch.id} are written to {batch.output}; name that, or change it with --new"
            )
        self._check_ours(known=batch.output == output)
        await database.write(batches.write_to, batch.id, output)
        return Accepted(batch_id=batch.id, state=batch.state, known=batch.output == output)

    def _received(self, rows: int) -> None:
        """Between two reads of the input: the moment to stop, at which nothing is torn."""
        self._view.receiving(rows)
        if self.stopping:
            raise StoppedWhileReading(rows)

    async def _check_files(self, database: Database, new: NewBatch) -> None:
        self._check_ours(known=await database.read(manifest.submitted, new.project, new.submission_id) is not None)

    def _check_ours(self, *, known: bool) -> None:
        """A file that we did not write is not overwritten without being told to."""
        if self._options.new:
            return
        if not known and (path := self._files.occupied()):
            raise CallerError(
                f"{path} exists and was not written by a run in this database; name another file, "
                "or overwrite it with --new"
            )
        if path := self._files.foreign():
            raise CallerError(f"{path} holds something else than results; move it away, or name another file")

    async def _accounts(self, database: Database, batch: Batch) -> tuple[Account, ...]:
        routes = await database.read(manifest.routes, batch.id)
        accounts = serving(self._settings.accounts, routes)
        unserved = sorted(set(routes) - all_routes(self._settings.accounts))
        if unserved:
            raise ConfigError(
                f"batch {batch.id} needs {', '.join(unserved)}, which no account serves any more; "
                "add that to the models of one"
            )
        check_secrets(accounts, self._settings.key_origins)
        return accounts

    async def _drain(
        self, database: Database, batch: Batch, accounts: tuple[Account, ...], export: Export
    ) -> BrokerError | None:
        """Work until the batch ends or the run is stopped; returns why it could not go on, if so."""

        def committed(plan: Plan) -> None:
            if batch.id in plan.completed:
                self._look.set()

        engine = Engine(
            database,
            accounts,
            policy=self._settings.retry_policy,
            only=[batch.id],
            clock=self._clock,
            committed=committed,
        )
        self._engine = engine
        if self.stopping:
            engine.stop()
        over = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow(engine, export, over))
            watching = tasks.create_task(self._watch(engine, accounts, Observer(engine, batch), over))
            await engine.run()
            over.set()
            self._look.set()
        return following.result() or watching.result()

    async def _follow(self, engine: Engine, export: Export, over: asyncio.Event) -> BrokerError | None:
        """Results that cannot be written stop the run, but not the calls that are being paid for."""
        try:
            await export.follow(over)
        except OutputNotWritten as error:
            engine.stop()
            return error
        return None

    async def _watch(
        self, engine: Engine, accounts: Sequence[Account], observer: Observer, over: asyncio.Event
    ) -> BrokerError | None:
        """Show how it stands until it is `over`; stop the engine when the batch has ended or nobody can go on."""
        error = None
        while not over.is_set():
            progress = await observer.look(stopping=self.stopping)
            if not over.is_set():
                self._view.show(progress)
            if error is None and not self.stopping:
                error = await _nobody_left(engine, accounts, progress)
            if error is not None or progress.batch.state in TERMINAL:
                engine.stop()
            self._look.clear()
            if over.is_set():
                break
            await self._next_look()
        return error

    async def _next_look(self) -> None:
        try:
            async with asyncio.timeout(self._look_s):
                await self._look.wait()
        except TimeoutError:
            return


def _place(jobs: str, source: Source) -> str:
    """Where the input is, from whatever folder one looks."""
    return source.name if jobs == "-" else str(Path(jobs).absolute())


async def _nobody_left(engine: Engine, accounts: Sequence[Account], progress: Progress) -> AccountError | None:
    """Why the batch cannot go on: each account that serves what is left of it needs somebody to mend it."""
    blocked = engine.blocked()
    if not blocked or progress.in_flight:
        return None
    able = all_routes(accounts, of=[account for account in accounts if account.name not in blocked])
    try:
        if await engine.database.read(standing.unfinished_on, progress.batch.id, able):
            return None
        batch = await engine.database.read(batches.get, progress.batch.id)
    except StoreUnavailable:
        return None
    if batch.state is not BatchState.RUNNING:  # its last row came just now, or it is being cancelled
        return None
    reasons = "; ".join(f"{name} is {why}" for name, why in sorted(blocked.items()))
    return AccountError(f"no account can go on with what is left ({reasons}); mend one")


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = open_database(url)
    try:
        if isinstance(database, SQLiteDatabase) and not database.path.parent.is_dir():
            raise ConfigError(f"--database: {database.path.parent} is no folder; make it, or name another --database")
        async with lock.held(database):
            await database.write(migrate.upgrade)
            yield database
    finally:
        await database.close()

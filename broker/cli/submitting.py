"""Takes a batch file in, without running it."""

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.cli.figures import plural
from broker.cli.opened import existing
from broker.cli.options import DEFAULT_DATABASE
from broker.domain.batch import Batch, BatchState
from broker.errors import CallerError, ConfigError, IllegalMove
from broker.intake.accept import Accepted, accept
from broker.intake.layout import Layout, layout_of
from broker.intake.options import InputOptions
from broker.intake.source import Source, digest, opened_source
from broker.secrets import read_url
from broker.settings import Settings, load
from broker.store import batches, manifest, migrate
from broker.store.engine import Database, SQLiteDatabase, database_files, open_database
from broker.store.manifest import NewBatch, SubmissionConflict
from broker.store.submitting import submitting
from broker.wiring.supply import all_routes


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What `penstock submit` was asked for."""

    file: str
    """A path, or `-`."""
    database_url: str
    lenient: bool
    tag: str
    weight: float
    name: str | None
    project: str
    submission_id: str | None
    """`None`: it follows from the content, the name, the tag and what else is given."""
    given: InputOptions = field(default_factory=InputOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What came of it."""

    batch_id: int
    words: str
    facts: dict[str, Any]


async def submitted(order: Order, config: Path, *, say: Callable[[str], None]) -> Submitted:
    """Take the file in, or find the batch that it was taken in as; `say` tells what is being waited for.

    Raises `IntakeRefused` with the problems, `CallerError`, `ConfigError` and `StoreError`.
    """
    settings = load(config)
    # A pipe is copied on the disk that temporary files belong on: the current folder may not be writable.
    scratch = Path(tempfile.gettempdir())
    with opened_source(order.file, directory=scratch, standard_input=sys.stdin.buffer) as source:
        given = order.given
        layout = await asyncio.to_thread(layout_of, source, dialect=given.dialect, model=given.model)
        new = await asyncio.to_thread(_new_batch, order, source, layout)
        async with _opened(_database_url(order, settings)) as database:
            waiting = _waiting(say)
            async with submitting(database, new.project, new.submission_id, waiting=waiting):
                await _prepared(database)
                accepted = await _accept(
                    database, source, new, settings, layout, lenient=order.lenient, scratch=scratch
                )
                return _told(await database.read(batches.get, accepted.batch_id), new, accepted)


def _database_url(order: Order, settings: Settings) -> str:
    if order.database_url == DEFAULT_DATABASE and settings.broker.database:
        return read_url(settings.broker.database)
    return order.database_url


def _new_batch(order: Order, source: Source, layout: Layout) -> NewBatch:
    for option, given in (
        ("--project", order.project),
        ("--name", order.name),
        ("--submission-id", order.submission_id),
    ):
        if given is not None and (not given.strip() or not given.isprintable()):
            raise CallerError(f"{option}: that is no name; use visible characters")
    content = order.given.identity(digest(source))
    return NewBatch(
        project=order.project,
        submission_id=order.submission_id or _default_id(content, order),
        body_hash=content,
        dialect=layout.form,
        source=source.name if order.file == "-" else str(Path(order.file).absolute()),
        tag=order.tag,
        weight=order.weight,
        name=order.name,
        on_loss=order.given.on_loss,
        use=order.given.use,
    )


def _default_id(content: str, order: Order) -> str:
    """The same file under another name or tag, or with other options, is another batch."""
    told = "\0".join((content, order.name or "", order.tag))
    return f"submit:{hashlib.sha256(told.encode()).hexdigest()}"


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    """A server's database must have been prepared; a file is made where there is none."""
    if not database_files(url):
        async with existing(url) as prepared:
            yield prepared
        return
    database = open_database(url)
    try:
        if isinstance(database, SQLiteDatabase) and not database.path.parent.is_dir():
            folder = database.path.parent
            raise ConfigError(f"--database: {folder} is no folder; make it, or name another --database")
        yield database
    finally:
        await database.close()


async def _prepared(database: Database) -> None:
    if isinstance(database, SQLiteDatabase):
        await database.write(migrate.upgrade)


def _waiting(say: Callable[[str], None]) -> Callable[[], None]:
    return lambda: say("another process is submitting the same; waiting for its end")


async def _accept(
    database: Database,
    source: Source,
    new: NewBatch,
    settings: Settings,
    layout: Layout,
    *,
    lenient: bool,
    scratch: Path,
) -> Accepted:
    routes = all_routes(settings.accounts)
    try:
        return await accept(database, source, new, routes=routes, scratch=scratch, layout=layout, lenient=lenient)
    except SubmissionConflict as conflict:
        raise CallerError(
            f"submission id {new.submission_id} belongs to batch {conflict.batch_id}, which had another input "
            "(or other options); submit this one under another --submission-id"
        ) from conflict
    except IllegalMove as gone:
        batch_id = await database.read(manifest.submitted, new.project, new.submission_id)
        raise CallerError(f"batch {batch_id} was cancelled while its input was being read") from gone


def _told(batch: Batch, new: NewBatch, accepted: Accepted) -> Submitted:
    rows = plural(batch.counts.total, "row")
    if accepted.known:
        words = f"{new.source} is batch {batch.id} already ({rows}, {batch.state})"
    else:
        words = f"accepted {rows} of {new.source} as batch {batch.id}"
        if batch.state is BatchState.COMPLETED:
            words += ", none of which is valid"
        elif batch.counts.failed:
            words += f"; {plural(batch.counts.failed, 'row')} did not validate and failed"
    facts = {
        "batch": batch.id,
        "state": str(batch.state),
        "known": accepted.known,
        "total": batch.counts.total,
        "failed": batch.counts.failed,
        "project": batch.project,
        "name": batch.name,
        "tag": batch.tag,
        "dialect": str(batch.form),
        "on_loss": str(batch.on_loss),
        "use": batch.use,
        "submission_id": new.submission_id,
    }
    return Submitted(batch_id=batch.id, words=words, facts=facts)

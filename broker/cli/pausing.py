"""`penstock pause`, `resume` and `seal`: whether a batch may start calls, and whether it takes more jobs."""

import typer

from broker.cli.options import DEFAULT_DATABASE, BatchId, DatabaseUrl


def pause(batch: BatchId, *, database: DatabaseUrl = DEFAULT_DATABASE) -> None:
    """Pause a batch: no further call starts until `penstock resume`; calls in flight finish, and are kept."""
    import asyncio

    from broker.cli.steering import pause_batch

    typer.echo(asyncio.run(pause_batch(database, batch)))


def resume(batch: BatchId, *, database: DatabaseUrl = DEFAULT_DATABASE) -> None:
    """Let a paused batch go on."""
    import asyncio

    from broker.cli.steering import resume_batch

    typer.echo(asyncio.run(resume_batch(database, batch)))


def seal(batch: BatchId, *, database: DatabaseUrl = DEFAULT_DATABASE) -> None:
    """Seal an open batch: it takes no more jobs, and completes when those that it has are finished."""
    import asyncio

    from broker.cli.steering import seal_batch

    typer.echo(asyncio.run(seal_batch(database, batch)))

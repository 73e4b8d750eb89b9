"""`penstock worker`: one worker process of a fleet."""

from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.options import DEFAULT_CONFIG, ConfigPath, HealthAddress

if TYPE_CHECKING:
    from broker.domain.account import Account
    from broker.settings import Settings


def worker(
    *,
    account: Annotated[str, typer.Option("--account", metavar="NAME", help="The account that it works for.")],
    config: ConfigPath = DEFAULT_CONFIG,
    health: HealthAddress = None,
) -> None:
    """Work for one account: take jobs from RabbitMQ, call the provider, commit results to the database.

    It reads the key of its own account and no other. A termination or Ctrl-C hands back what has not started,
    finishes the calls in flight and stops; a second one aborts them. `penstock fleet` starts as many as are
    configured, and starts them again.
    """
    import uvloop

    from broker.cli.logs import to_standard_error
    from broker.cli.signals import Aborted
    from broker.settings import check_secrets, load
    from broker.wiring.worker import account_named

    settings = load(config)
    mine = account_named(settings, account)
    check_secrets([mine], settings.key_origins)
    to_standard_error()
    try:
        uvloop.run(_work(settings, mine, health))
    except Aborted as aborted:
        from broker.cli.commands import Exit

        typer.echo(str(aborted), err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None


async def _work(settings: "Settings", account: "Account", health: str | None) -> None:
    import asyncio

    from broker.cli.signals import interruptible
    from broker.health.address import address
    from broker.wiring.worker import WorkerProcess
    from workers.parent import parent_gone, say_ready

    process = WorkerProcess(settings, account, health=address(health) if health else None)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(parent_gone())
            watching.add_done_callback(lambda _: process.stop())
            await process.run(say_ready)
            watching.cancel()

    await interruptible(work(), drain=process.stop)

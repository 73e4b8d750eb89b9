"""`penstock fleet`: worker processes for every account, kept running."""

import logging
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import Exit
from broker.cli.options import DEFAULT_CONFIG, ConfigPath, HealthAddress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from broker.domain.account import Account
    from broker.settings import Settings
    from workers.fleet import Fleet
    from workers.launching import Command, Launcher
    from workers.supervised import Write

log = logging.getLogger("penstock.fleet")

GRACE_S = 120.0


def fleet(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    grace: Annotated[
        float, typer.Option("--grace", min=0, metavar="SECONDS", help="How long calls may take to finish at the end.")
    ] = GRACE_S,
    health: HealthAddress = None,
) -> None:
    """Run the worker processes of every account: start, restart, scale, replace and drain them.

    What ends is started again, after a pause that grows. `penstock scale` changes how many there are. Each process
    gets the key of its own account only, and puts its name in front of what it prints.

    SIGTERM or Ctrl-C lets all of them finish their calls and stops; a second one ends them at once. SIGHUP reads the
    configuration again and replaces all processes, one after the other, without a call being cut off.

    Exit status: 0 all processes finished their calls, 1 some did not and were killed, 2 bad configuration.
    """
    from workers.launching import worker_command

    raise typer.Exit(run_fleet(config, worker_command(config), grace_s=grace, health=health))


def run_fleet(config: Path, command: "Command", *, grace_s: float, health: str | None) -> int:
    """Run the fleet of a configuration, whose processes are started with `command`; returns the exit status."""
    import asyncio

    from broker.cli.logs import to_standard_error
    from broker.settings import load
    from broker.wiring.servers import url_of
    from workers.launching import Launcher

    settings = load(config)
    for server in ("database", "rabbitmq", "redis"):
        url_of(settings.broker, server)  # or nothing is started
    to_standard_error()
    launcher = Launcher(command)
    _adopt(launcher, settings)
    lost = asyncio.run(_run(config, settings, launcher, grace_s, health))
    for process in lost:
        typer.echo(f"{process}: the outcome of its calls is unknown", err=True)
    return Exit.SOME_FAILED if lost else Exit.OK


async def _run(
    config: Path, settings: "Settings", launcher: "Launcher", grace_s: float, health: str | None
) -> "Sequence[str]":
    import random
    from contextlib import AsyncExitStack

    from broker.domain.clock import SystemClock
    from broker.settings import load
    from broker.store.engine import open_database
    from broker.wiring.servers import url_of
    from workers.fleet import Fleet
    from workers.scaling import Scaling

    def load_again() -> "Sequence[Account]":
        fresh = load(config)
        _adopt(launcher, fresh)
        if fresh.broker != settings.broker:
            log.warning("[broker] has changed: new processes go by it, the fleet itself when it is started again")
        return fresh.accounts

    clock = SystemClock()
    async with AsyncExitStack() as closing:
        database = open_database(url_of(settings.broker, "database"))
        closing.push_async_callback(database.close)
        scaling = Scaling(database, clock)
        running = Fleet(
            settings.accounts,
            load=load_again,
            launcher=launcher,
            scaling=scaling,
            out=through(sys.stdout.buffer),
            err=through(sys.stderr.buffer),
            clock=clock,
            random=random.random,
        )
        if health is not None:
            from broker.health.address import address
            from broker.health.server import Health

            told = Health(
                address(health), clock=clock, checks={"workers": running.shortage}, notes={"database": scaling.trouble}
            )
            await closing.enter_async_context(told.serving())
            log.info("health is told at %s", told.url)
        with _obeying_signals(running):
            return await running.run(grace_s)


def _adopt(launcher: "Launcher", settings: "Settings") -> None:
    """Let the launcher know which references belong to accounts, and which every worker needs."""
    servers = settings.broker
    launcher.adopt(settings.accounts, (servers.database, servers.rabbitmq, servers.redis))


@contextmanager
def _obeying_signals(running: "Fleet") -> "Iterator[None]":
    """Stop at the first signal, kill at the second, reload at a hangup, unless that says that the terminal is gone."""
    import asyncio

    from broker.cli.signals import SAME_S

    loop = asyncio.get_running_loop()
    had_terminal = _has_terminal()
    last = float("-inf")

    def end() -> None:
        nonlocal last
        if loop.time() - last < SAME_S:
            return
        (running.stop if last < 0 else running.kill)()
        last = loop.time()

    def hung_up() -> None:
        if had_terminal and not _has_terminal():
            end()
        else:
            running.reload()

    handlers = {signal.SIGINT: end, signal.SIGTERM: end}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup means it
        handlers[signal.SIGHUP] = hung_up
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def through(stream: "BinaryIO") -> "Write":
    """Pass on what processes say, as long as somebody listens: they go on when nobody does."""
    deaf = False

    def write(lines: bytes) -> None:
        nonlocal deaf
        if deaf:
            return
        try:
            stream.write(lines)
            stream.flush()
        except (OSError, ValueError):
            deaf = True

    return write

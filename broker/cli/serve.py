"""`penstock serve`: the processes of a fleet that hold no key."""

from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.options import DEFAULT_CONFIG, ConfigPath, HealthAddress

if TYPE_CHECKING:
    from collections.abc import Collection

    from broker.settings import Settings
    from broker.wiring.serve import Role

_ROLES = "feeder,reaper,intake,delivery"


def serve(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    roles: Annotated[
        str, typer.Option("--roles", metavar="ROLES", help="What this process does, with commas between them.")
    ] = _ROLES,
    health: HealthAddress = None,
) -> None:
    """Feed the queues of a fleet, watch over its workers, and take and send messages over AMQP.

    Several may run against one database: feeder, reaper and delivery are each played by one of them at a time, and
    taken over within ten seconds when it dies.
    """
    import uvloop

    from broker.cli.logs import to_standard_error
    from broker.settings import load

    chosen = _roles(roles)
    settings = load(config)
    to_standard_error()
    uvloop.run(_serve(settings, chosen, health))


def _roles(text: str) -> "Collection[Role]":
    from broker.wiring.serve import Role

    chosen = [name.strip() for name in text.split(",")]
    for name in chosen:
        if name not in set(Role):
            raise typer.BadParameter(f"{name!r} is none of {', '.join(Role)}", param_hint="--roles")
    return [Role(name) for name in chosen]


async def _serve(settings: "Settings", roles: "Collection[Role]", health: str | None) -> None:
    from broker.cli.signals import interruptible
    from broker.health.address import address
    from broker.wiring.serve import Serve

    process = Serve(settings, roles, health=address(health) if health else None)
    await interruptible(process.run(), drain=process.stop)

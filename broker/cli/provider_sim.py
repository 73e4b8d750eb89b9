"""`penstock provider-sim`: a simulated provider to rehearse a batch against."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import Exit
from broker.errors import ConfigError

if TYPE_CHECKING:
    from workers.provider_sim.server import ProviderSim

DEFAULT_PORT = 8400


def provider_sim(
    *,
    config: Annotated[Path | None, typer.Option(help="TOML file; flags go over it.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help=f"Port, 0 for any free one ({DEFAULT_PORT}).")] = None,
    key: Annotated[list[str] | None, typer.Option(help="NAME[=RPM[,TPM[,CONCURRENCY]]]; repeat for more.")] = None,
    latency: Annotated[float | None, typer.Option(help="Seconds to the first token.")] = None,
    seconds_per_token: Annotated[float | None, typer.Option(help="Seconds for each token of output.")] = None,
    mean_output_tokens: Annotated[float | None, typer.Option(help="Mean length of an answer.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed repeats the same run.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="KIND=PROBABILITY; repeat for more.")] = None,
    fault_cap: Annotated[list[str] | None, typer.Option(help="KIND or FAMILY=N per request; repeat for more.")] = None,
    window: Annotated[float | None, typer.Option(help="Seconds of its rate that each limit's bucket holds.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Gets the URL once it listens.")] = None,
) -> None:
    """Run a simulated provider: real HTTP, real limits, seeded faults, and its own ledger of paid calls."""
    from workers.provider_sim import config as configuration
    from workers.provider_sim import flags, process

    try:
        tables = flags.merged(
            {"port": DEFAULT_PORT} | (configuration.read(config) if config else {}),
            keys=key or (),
            faults=fault or (),
            fault_caps=fault_cap or (),
            window_s=window,
            top={"host": host, "port": port, "seed": seed},
            latency={"first_token_s": latency, "per_token_s": seconds_per_token},
            output={"mean_tokens": mean_output_tokens},
        )
        checked = configuration.checked(tables, source=str(config) if config else "flags")
        process.run(checked, ready_file=ready_file, announce=_announce)
    except (ConfigError, OSError) as error:
        typer.echo(f"provider-sim: {error}", err=True)
        raise typer.Exit(Exit.REFUSED) from error


def _announce(sim: "ProviderSim") -> None:
    keys = [key.name for key in sim.config.keys]
    names = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
    typer.echo(f"simulated provider ready at {sim.url} (keys: {names}; paid calls: {sim.url}/sim/ledger)")
    typer.echo(
        "To use it, put this into penstock.toml, with the key's secret (its name, unless the simulator's\n"
        "configuration gives another) in the environment:\n"
        f'  [[accounts]]\n  name = "sim-{keys[0]}"\n  provider = "openai"\n  base_url = "{sim.base_url}"\n'
        f'  api_key = "env:SIM_KEY"\n  models = {{ "sim-chat" = "{(*sim.config.models, "sim-chat")[0]}" }}'
    )

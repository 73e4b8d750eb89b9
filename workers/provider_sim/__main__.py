"""`python -m workers.provider_sim`: the simulated provider without the rest of the command line."""

import typer

from broker.cli.provider_sim import provider_sim

if __name__ == "__main__":
    typer.run(provider_sim)

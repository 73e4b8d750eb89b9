"""The `penstock` command. Every command imports what it needs when it runs, so that `--help` stays quick."""

from broker.cli.app import main

__all__ = ["main"]

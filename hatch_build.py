"""Puts the migrations inside the package `broker` in a wheel; a source tree has them beside it."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Migrations(BuildHookInterface):  # type: ignore[type-arg]  # generic in the builder's configuration, unused here
    """A hook, since a plain `force-include` would put a copy into editable installs as well, to go stale there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Include them in a standard wheel only."""
        if version == "standard":
            build_data["force_include"]["migrations"] = "broker/migrations"

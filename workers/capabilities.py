"""What a self-hosted server says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """One server, as far as it could be asked; what it does not say is unknown."""

    engine: str | None = None
    """What runs there, such as `llama.cpp`."""
    version: str | None = None
    models: frozenset[str] = frozenset()
    """Names it serves; empty: it does not say."""
    context_windows: Mapping[str, int] = field(default_factory=dict)
    """Tokens of prompt and answer together, by model; under the empty name, of every model."""
    slots: int | None = None
    """Calls that it works on at the same time."""

    def context_window(self, model: str) -> int | None:
        """Tokens of prompt and answer together."""
        return self.context_windows.get(model, self.context_windows.get(""))


UNKNOWN = Capabilities()

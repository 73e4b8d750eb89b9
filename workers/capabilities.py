"""What a self-hosted server says of itself. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_UNTAGGED = ":latest"
"""Some servers tag every model, and take a name without a tag for the one with this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """One server, as far as it could be asked; what it does not say is unknown."""

    engine: str | None = None
    """What runs there, such as `llama.cpp`; `None`: nothing that showed itself as such."""
    version: str | None = None
    models: frozenset[str] = frozenset()
    """Names it serves; empty: it does not say."""
    lists_all: bool = False
    """It serves no others."""
    context_windows: Mapping[str, int] = field(default_factory=dict)
    """Tokens of prompt and answer together, by model; under the empty name, of every model."""
    slots: int | None = None
    """Calls that it works on at the same time."""

    def context_window(self, model: str) -> int | None:
        """Tokens of prompt and answer together."""
        windows = self.context_windows
        return next((windows[name] for name in (model, model + _UNTAGGED, "") if name in windows), None)

    def lacks(self, models: Iterable[str]) -> tuple[str, ...]:
        """Those that it surely does not serve; the case of a name is no difference."""
        if not self.lists_all:
            return ()
        served = {name.casefold() for name in self.models}
        return tuple(name for name in models if not {name.casefold(), name.casefold() + _UNTAGGED} & served)

    def words_for(self, models: Iterable[str]) -> str:
        """All of it in a line, for people, with those of `models` that it lacks; empty when it says nothing."""
        lacking = self.lacks(models)
        return self.words() + (f"; it does not serve {_some(lacking)}" if lacking else "")

    def words(self) -> str:
        """All of it in a line, for people; empty when it says nothing."""
        said: list[str] = []
        if self.engine is not None:
            said.append(f"{self.engine} {self.version}" if self.version is not None else self.engine)
        if self.models:
            said.append(f"serves {_some(sorted(self.models))}")
        windows = {model: f"context window {tokens:,} tokens" for model, tokens in self.context_windows.items()}
        if len(set(windows.values())) == 1:
            said += set(windows.values())
        else:
            said += [f"{window} ({model})" for model, window in sorted(windows.items())[:_SHOWN]]
        if self.slots is not None:
            said.append("1 slot" if self.slots == 1 else f"{self.slots} slots")
        return ", ".join(said)


UNKNOWN = Capabilities()
_SHOWN = 5


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")

"""Chooses what goes wrong, and remembers how often it did for each request."""

from itertools import accumulate

from workers.provider_sim.config import FaultsConfig
from workers.provider_sim.fault_kinds import ALWAYS_PAID, FAMILY, FaultKind


class FaultPlan:
    """Faults by probability, with caps per request."""

    def __init__(self, config: FaultsConfig) -> None:
        # Sorted, so that the order of a file's lines does not change a run.
        dealt = sorted((kind, p) for kind, p in config.probability.items() if p > 0)
        self._kinds = [kind for kind, _ in dealt]
        self._bounds = list(accumulate(p for _, p in dealt))
        self._caps = {str(name): cap for name, cap in config.at_most_per_request.items()}
        self._seen: dict[tuple[int, str], int] = {}
        self._paid = ALWAYS_PAID | config.also_paid

    def choose(self, uniform: float, identity: int) -> FaultKind | None:
        """Return the fault that `uniform` in [0, 1) deals to this request; `None`: none, or its cap is reached."""
        for kind, bound in zip(self._kinds, self._bounds, strict=True):
            if uniform < bound:
                return kind if self._within_caps(kind, identity) else None
        return None

    def is_paid(self, kind: FaultKind) -> bool:
        """Whether the call was generated, and so is charged."""
        return kind in self._paid

    def _within_caps(self, kind: FaultKind, identity: int) -> bool:
        capped = [name for name in (str(kind), str(FAMILY[kind])) if name in self._caps]
        if any(self._seen.get((identity, name), 0) >= self._caps[name] for name in capped):
            return False
        for name in capped:
            self._seen[identity, name] = self._seen.get((identity, name), 0) + 1
        return True

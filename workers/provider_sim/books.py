"""Everything a simulator remembers between two resets."""

from collections import Counter

from pydantic import JsonValue

from broker.domain.clock import Clock
from workers.provider_sim.chance import NEUTRAL, Chance, draw
from workers.provider_sim.config import KeyConfig, SimConfig
from workers.provider_sim.counters import KeyCounters
from workers.provider_sim.faults import FaultPlan
from workers.provider_sim.gate import Gate
from workers.provider_sim.ledger import Begun, Ledger


class KeyState:
    """One key: its configuration, gate and counters."""

    def __init__(self, config: KeyConfig, now: float) -> None:
        self.config = config
        self.gate = Gate(config, now)
        self.counters = KeyCounters()

    def is_revoked(self, now: float) -> bool:
        """Whether the key answers 401 from now on."""
        return self._is_over(self.config.revoked_after_s, self.config.revoked_after_calls, now)

    def is_exhausted(self, now: float) -> bool:
        """Whether the key's money is spent."""
        return self._is_over(self.config.exhausted_after_s, self.config.exhausted_after_calls, now)

    def _is_over(self, after_s: float | None, after_calls: int | None, now: float) -> bool:
        return (after_s is not None and now >= after_s) or (
            after_calls is not None and self.counters.accepted >= after_calls
        )


class Books:
    """Time here is seconds since these books were opened, by the clock's `monotonic()`."""

    def __init__(self, config: SimConfig, clock: Clock) -> None:
        self._clock = clock
        self._epoch = clock.monotonic()
        self._seed = config.seed
        self.keeps_rows = config.ledger == "full"
        self._tries: dict[int, int] = {}
        self.is_random = config.is_random
        self.opened_at = clock.now()
        self.plan = FaultPlan(config.faults)
        self.ledger = Ledger()
        self.keys = {key.material: KeyState(key, 0.0) for key in config.keys}
        self.requests = 0
        self.strangers = 0
        """Requests without a known key."""
        self.in_flight = 0
        self.max_in_flight = 0

    def now(self) -> float:
        return self._clock.monotonic() - self._epoch

    def deal(self, identity: int) -> Chance:
        """Return the chance of the next try of this request."""
        if not self.is_random:
            return NEUTRAL
        nth = self._tries.get(identity, 0)
        self._tries[identity] = nth + 1
        return draw(self._seed, identity, nth)

    def enter(self, key: KeyState, now: float) -> None:
        """Count an admitted call that starts to be worked on."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        key.counters.accept(now, key.gate.in_flight)

    def leave(self, key: KeyState) -> None:
        """Count an admitted call that is over, however it ended."""
        self.in_flight -= 1
        key.gate.leave()

    def begin(self, key: KeyState, call: Begun) -> int | None:
        """Write a paid call down; returns its row, `None` when only counters are kept."""
        key.counters.pay(
            input_tokens=call.input_tokens,
            cached_tokens=call.cached_tokens,
            output_tokens=call.output_tokens,
            reasoning_tokens=call.reasoning_tokens,
        )
        return self.ledger.begin(call) if self.keeps_rows else None

    def finish(self, key: KeyState, row: int | None, outcome: str, output_tokens: int) -> None:
        """Write down how a paid call ended, and charge its output."""
        now = self.now()
        key.gate.produced(output_tokens, now)
        key.counters.outcomes[str(outcome)] += 1
        if row is not None:
            self.ledger.finish(row, str(outcome), now)

    def stats(self) -> dict[str, JsonValue]:
        """All counters as JSON; names of keys, never their secrets."""
        states = list(self.keys.values())
        rejected = Counter[str]({"unknown_key": self.strangers} if self.strangers else {})
        faults, outcomes, tokens = Counter[str](), Counter[str](), Counter[str]()
        for state in states:
            rejected.update(state.counters.rejected)
            faults.update(state.counters.faults)
            outcomes.update(state.counters.outcomes)
            tokens.update(state.counters.tokens)
        return {
            "opened_at": self.opened_at,
            "elapsed_s": self.now(),
            "requests": self.requests,
            "accepted": sum(state.counters.accepted for state in states),
            "paid": sum(state.counters.paid for state in states),
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "rejected": dict(sorted(rejected.items())),
            "faults": dict(sorted(faults.items())),
            "outcomes": dict(sorted(outcomes.items())),
            "tokens": {name: tokens[name] for name in ("input", "cached", "output", "reasoning")},
            "keys": {state.config.name: state.counters.as_json(state.gate.in_flight) for state in states},
        }

"""How a run stands right now, for the live view, the plain lines and the summary."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from broker.domain.batch import Batch
from broker.limits.port import GroupState
from broker.store import batches
from broker.wiring import Engine

RATE_OVER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProgress:
    """One account right now."""

    name: str
    provider: str
    state: str
    """`active`, `paused`, `revoked` or `exhausted`."""
    waits_for: str | None
    """Why it is not starting more calls; `None` while it is."""
    in_flight: int
    slots: int
    limits: GroupState


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A batch right now. Rates are over the last ten seconds."""

    batch: Batch
    elapsed_s: float
    """Since the batch was accepted, or since this run took it up again."""
    rows_per_s: float
    tokens_per_s: float
    eta_s: float | None
    """Until the last row, at this rate; `None` while nothing has come back of late."""
    accounts: Sequence[AccountProgress]

    @property
    def in_flight(self) -> int:
        return sum(account.in_flight for account in self.accounts)


class Observer:
    """Looks at an engine and its batch from time to time."""

    def __init__(self, engine: Engine, batch_id: int) -> None:
        self._engine = engine
        self._batch_id = batch_id
        self._began = engine.clock.monotonic()
        self._seen: deque[tuple[float, int, int]] = deque()

    async def look(self) -> Progress:
        """How it stands; raises `StoreUnavailable`."""
        batch = await self._engine.database.read(batches.get, self._batch_id)
        now = self._engine.clock.monotonic()
        tokens = (batch.usage.input_tokens or 0) + (batch.usage.output_tokens or 0)
        self._seen.append((now, batch.counts.finished, tokens))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        since, rows, tokens_then = self._seen[0]
        span = max(now - since, 1e-9)
        rows_per_s = (batch.counts.finished - rows) / span
        left = batch.counts.total - batch.counts.finished
        return Progress(
            batch=batch,
            elapsed_s=now - self._began,
            rows_per_s=rows_per_s,
            tokens_per_s=(tokens - tokens_then) / span,
            eta_s=left / rows_per_s if rows_per_s > 0 else (0.0 if not left else None),
            accounts=[await self._account(index) for index in range(len(self._engine.workers))],
        )

    async def _account(self, index: int) -> AccountProgress:
        worker = self._engine.workers[index]
        bench = worker.bench
        state = await self._engine.limiter.state(bench.group)
        blocked = bench.health.reason is not None
        paused = state.paused_for_s > 0
        return AccountProgress(
            name=bench.account.name,
            provider=bench.account.provider,
            state=bench.health.health if blocked else "paused" if paused else "active",
            waits_for=bench.health.reason if blocked else worker.pipeline.waits_for,
            in_flight=bench.in_flight,
            slots=min(bench.account.worker_concurrency, state.slots or bench.account.worker_concurrency),
            limits=state,
        )

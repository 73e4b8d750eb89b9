"""How a run stands right now, for the live view, the plain lines and the summary."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from broker.domain.batch import Batch
from broker.errors import StoreUnavailable
from broker.limits.port import GroupState, Level
from broker.store import batches
from broker.wiring.embedded import Engine

RATE_OVER_S = 10.0
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUse:
    """How much of one limit is in use."""

    resource: str
    share: float
    """1 is all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProgress:
    """One account right now."""

    name: str
    provider: str
    state: str
    """`active`, `paused`, `revoked`, `exhausted`, `unreachable` or `failing`."""
    reason: str | None
    """What the provider said when the account was blocked or paused."""
    waits_for: str | None
    """What its next call waits for: a resource, `slots`, `database: …`; `None` while nothing waits."""
    resumes_in_s: float | None
    """Until a blocked or paused account is tried again."""
    in_flight: int
    slots: int
    limits: Sequence[LimitUse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A batch right now. Rates are over the last ten seconds."""

    batch: Batch
    elapsed_s: float
    """Since this run took the batch up."""
    rows_per_s: float
    tokens_per_s: float
    eta_s: float | None
    """Until the last row, at this rate; `None` while nothing has come back of late."""
    accounts: Sequence[AccountProgress]
    stopping: bool = False
    """Nothing new is started; what is in flight is finished."""
    trouble: str | None = None
    """Why the figures are old: the database does not answer."""

    @property
    def in_flight(self) -> int:
        return sum(account.in_flight for account in self.accounts)

    @property
    def waiting(self) -> int:
        """Rows that are neither finished nor being called."""
        counts = self.batch.counts
        return max(0, counts.total - counts.finished - self.in_flight)


class Observer:
    """Looks at an engine and its batch from time to time."""

    def __init__(self, engine: Engine, batch: Batch) -> None:
        self._engine = engine
        self._batch = batch
        self._began = engine.clock.monotonic()
        self._seen: deque[tuple[float, int, int]] = deque()

    async def look(self, *, stopping: bool = False) -> Progress:
        """How it stands; with the figures of the last look while the database does not answer."""
        trouble = None
        try:
            self._batch = await self._engine.database.read(batches.get, self._batch.id)
        except StoreUnavailable as error:
            trouble = str(error)
        batch = self._batch
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
            accounts=[await self._account(index, now) for index in range(len(self._engine.workers))],
            stopping=stopping,
            trouble=trouble,
        )

    async def _account(self, index: int, now: float) -> AccountProgress:
        worker = self._engine.workers[index]
        bench = worker.bench
        group = await self._engine.limiter.state(bench.group)
        health = bench.health
        state, reason, resumes_in_s = str(health.health), health.reason, max(0.0, health.until - now)
        if health.reason is None:
            paused = group.paused_for_s > 0
            state = "paused" if paused else state
            reason, resumes_in_s = (group.pause_reason, group.paused_for_s) if paused else (None, 0.0)
        return AccountProgress(
            name=bench.account.name,
            provider=bench.account.provider,
            state=state,
            reason=reason,
            waits_for=worker.pipeline.waits_for,
            resumes_in_s=resumes_in_s if reason is not None else None,
            in_flight=bench.in_flight,
            slots=min(bench.account.worker_concurrency, group.slots or bench.account.worker_concurrency),
            limits=_uses(group, now - self._began),
        )


def _uses(group: GroupState, elapsed_s: float) -> list[LimitUse]:
    return [LimitUse(resource=level.resource, share=_share(level, elapsed_s)) for level in group.levels]


def _share(level: Level, elapsed_s: float) -> float:
    """Of a day's limit what is gone of it; of a minute's limit the pace of the last minute."""
    if level.period_s > _MINUTE_S:
        return min(1.0, max(0.0, 1 - level.available / level.limit))
    seconds = min(_MINUTE_S, max(1.0, elapsed_s))
    return min(1.0, level.used / (level.limit * seconds / _MINUTE_S))  # a burst at the start is more than its pace

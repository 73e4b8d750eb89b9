"""Each way a call can go wrong, through the whole engine and over real HTTP: what we believe, and what it cost."""

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.domain.outcome import RetryPolicy
from tests.live_engine import Scene, an_account, running, scene
from workers.account_health import Health
from workers.provider_sim.config import SimConfig
from workers.provider_sim.fault_kinds import FaultKind
from workers.provider_sim.server import ProviderSim

JOBS = 20
FEW = 2
"""Too few for their errors to be taken for an outage."""
ONCE_ONLY = RetryPolicy(
    transient_tries=1, malformed_retries=0, unknown_retries=0, backoff_base_s=0.01, backoff_cap_s=0.05
)


@dataclass(frozen=True)
class Means:
    """What one fault must be taken for."""

    kind: FaultKind
    state: str
    error_class: str
    is_paid: bool = False


TAKEN_FOR = (
    Means(FaultKind.RATE_LIMITED, "refused", "rate_limited"),
    Means(FaultKind.RATE_LIMITED_NO_HINT, "refused", "rate_limited"),
    Means(FaultKind.SERVER_ERROR, "failed", "server_error"),
    Means(FaultKind.BAD_GATEWAY, "failed", "server_error"),
    Means(FaultKind.UNAVAILABLE, "failed", "overloaded"),
    Means(FaultKind.OVERLOADED, "failed", "overloaded"),
    Means(FaultKind.SITE_OVERLOADED, "failed", "overloaded"),
    Means(FaultKind.RESET_BEFORE, "unknown", "outcome_unknown"),
    Means(FaultKind.RESET_AFTER, "unknown", "outcome_unknown", is_paid=True),
    Means(FaultKind.HANG, "unknown", "outcome_unknown"),
    Means(FaultKind.HANG, "unknown", "outcome_unknown", is_paid=True),
    Means(FaultKind.CUT_BODY, "unknown", "outcome_unknown", is_paid=True),
    *(
        Means(kind, "failed", "malformed_answer", is_paid)
        for kind in (FaultKind.HTML_PAGE, FaultKind.EMPTY_BODY, FaultKind.WRONG_SHAPE)
        for is_paid in (False, True)
    ),
    *(Means(FaultKind.ERROR_OBJECT, "failed", "server_error", is_paid) for is_paid in (False, True)),
)


def once(kind: FaultKind, *, also_paid: bool = False) -> dict[str, Any]:
    """Every job meets this fault at its first call, and never again."""
    return {
        "probability": {kind: 1.0},
        "at_most_per_request": {kind: 1},
        "also_paid": [kind] if also_paid else [],
        "retry_after_s": 0.05,
    }


@pytest.mark.parametrize("means", TAKEN_FOR, ids=lambda means: f"{means.kind}{'-paid' if means.is_paid else ''}")
def test_a_fault_is_taken_for_what_it_is_and_the_next_call_brings_the_answer(
    means: Means, sqlite_url: str, tmp_path: Path
) -> None:
    always_paid = means.kind in (FaultKind.RESET_AFTER, FaultKind.CUT_BODY)
    faults = once(means.kind, also_paid=means.is_paid and not always_paid)

    async def check() -> None:
        async with scene(sqlite_url, tmp_path, faults=faults, account={"timeout_seconds": 0.5}) as stage:
            await stage.submit(JOBS)
            await stage.drain(stage.engine())
            judgement = await stage.judged()
            endings: Counter[tuple[str, str | None]] = Counter()
            for (state, error_class), count in (await stage.endings()).items():
                # All fail at first: from the fifth on, a provider's own error is an outage of it
                endings[state, means.error_class if error_class == "outage" else error_class] += count
            assert endings == {("ok", None): JOBS, (means.state, means.error_class): JOBS}
            assert judgement.succeeded == JOBS
            assert judgement.extra == judgement.paid_without_usage == (JOBS if means.is_paid else 0)
            spoilt = [row for row in (await stage.books()).attempts if row["state"] == means.state]
            assert all(row["usage_source"] == "missing" and row["input_tokens"] is None for row in spoilt)

    asyncio.run(check())


def test_a_slow_drip_within_the_deadline_is_an_answer(sqlite_url: str, tmp_path: Path) -> None:
    async def check() -> None:
        faults = once(FaultKind.SLOW_DRIP) | {"drip_interval_s": 0.0}
        async with scene(sqlite_url, tmp_path, faults=faults) as stage:
            await stage.submit(JOBS)
            await stage.drain(stage.engine())
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.paid, judgement.attempts) == (JOBS, JOBS, {"ok": JOBS})

    asyncio.run(check())


def test_a_slow_drip_past_the_deadline_is_of_unknown_outcome(sqlite_url: str, tmp_path: Path) -> None:
    async def check() -> None:
        faults = once(FaultKind.SLOW_DRIP) | {"drip_interval_s": 5.0}
        async with scene(sqlite_url, tmp_path, faults=faults, account={"timeout_seconds": 0.5}) as stage:
            await stage.submit(JOBS)
            await stage.drain(stage.engine())
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.extra, judgement.unknown) == (JOBS, JOBS, JOBS)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FaultKind.RESET_AFTER, "outcome_unknown"),
        (FaultKind.SERVER_ERROR, "server_error"),
        (FaultKind.WRONG_SHAPE, "malformed_answer"),
    ],
)
def test_a_job_whose_retries_are_used_up_fails_and_says_why(
    kind: FaultKind, code: str, sqlite_url: str, tmp_path: Path
) -> None:
    async def check() -> None:
        async with scene(sqlite_url, tmp_path, faults={"probability": {kind: 1.0}}) as stage:
            await stage.submit(FEW)
            await stage.drain(stage.engine(policy=ONCE_ONLY))
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.extra) == (0, 0)
            books = await stage.books()
            assert {row["state"] for row in books.results} == {"failed"}
            assert {row["error_class"] for row in books.attempts} == {code}
            assert len(books.attempts) == FEW

    asyncio.run(check())


def test_a_storm_of_rate_limits_pauses_the_account_and_counts_against_no_job(sqlite_url: str, tmp_path: Path) -> None:
    """Two refusals each, with a policy that allows no retry at all: waiting is not failing."""
    faults = {
        "probability": {FaultKind.RATE_LIMITED: 1.0},
        "at_most_per_request": {FaultKind.RATE_LIMITED: 2},
        "retry_after_s": 0.8,
    }

    async def check() -> None:
        async with scene(sqlite_url, tmp_path, faults=faults) as stage:
            await stage.submit(JOBS)
            await stage.drain(stage.engine(policy=ONCE_ONLY))
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.paid) == (JOBS, JOBS)
            assert await stage.endings() == {("ok", None): JOBS, ("refused", "rate_limited"): 2 * JOBS}
            assert any("paused" in why for why in stage.waits), stage.waits

    asyncio.run(check())


@pytest.mark.parametrize(
    ("end", "error_class", "health"),
    [
        ("revoked_after_calls", "authentication", Health.REVOKED),
        ("exhausted_after_calls", "spend", Health.EXHAUSTED),
    ],
)
def test_when_a_key_ends_its_account_is_taken_out_and_the_jobs_go_to_another(
    end: str, error_class: str, health: Health, sqlite_url: str, tmp_path: Path
) -> None:
    async def check() -> None:
        keys: list[dict[str, Any]] = [{"name": "a", end: 5}, {"name": "b"}]
        async with scene(sqlite_url, tmp_path, keys=keys, account={"worker_concurrency": 4}) as stage:
            await stage.submit(3 * JOBS)
            engine = stage.engine()
            await stage.drain(engine)
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.extra) == (3 * JOBS, 0)
            refusals = [row for row in (await stage.books()).attempts if row["state"] == "refused"]
            assert {(row["account"], row["error_class"]) for row in refusals} == {("a", error_class)}
            assert [worker.bench.health.health for worker in engine.workers] == [health, Health.ACTIVE]
            assert engine.blocked()["a"].startswith(health)
            # No call goes out once the account is out: at most those that were claimed by then come back refused.
            assert (2 if health is Health.REVOKED else 1) <= len(refusals) <= 2 * 4

    asyncio.run(check())


def test_a_wrong_port_makes_jobs_wait_says_why_and_fails_none(sqlite_url: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def check() -> None:
        async with scene(sqlite_url, tmp_path) as stage:
            base_url = f"http://127.0.0.1:{port}/v1"
            stage.accounts = [an_account(tmp_path, stage.sim, "a", base_url=base_url)]
            await stage.submit(JOBS)
            engine = stage.engine(policy=ONCE_ONLY)
            async with running(engine):
                await stage.until(engine, lambda: engine.workers[0].bench.health.health is Health.UNREACHABLE)
                assert (await stage.batch(1)).counts.finished == 0
                assert len(stage.sim.ledger) == 0
                await _answers_come_once_somebody_listens(stage, port, engine)

    async def _answers_come_once_somebody_listens(stage: Scene, port: int, engine: Any) -> None:
        async with ProviderSim(SimConfig.model_validate({"port": port, "keys": [{"name": "a"}]})) as late:
            await stage.ended(engine)
            stage.sim = late
        judgement = await stage.judged()
        assert (judgement.succeeded, judgement.extra) == (JOBS, 0)
        assert set(await stage.endings()) == {("ok", None), ("refused", "connection")}

    asyncio.run(check())

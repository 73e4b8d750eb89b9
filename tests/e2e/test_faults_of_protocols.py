"""Each way a call can go wrong, in the words of each protocol: chat jobs whose answers are translated on the way."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.domain.dialect import Dialect
from tests.e2e.test_faults import TAKEN_FOR, Means, once
from tests.live_engine import Scene, scene
from workers.account_health import Health
from workers.provider_sim.fault_kinds import FaultKind

JOBS = 12
RESPONSES = {"protocols": (Dialect.OPENAI_RESPONSES,)}
ANTHROPIC = {
    "protocols": (Dialect.ANTHROPIC_MESSAGES,),
    "auth_header": "x-api-key",
    "auth_scheme": "",
}
GEMINI = {
    "protocols": (Dialect.GEMINI_GENERATE_CONTENT,),
    "auth_header": "x-goog-api-key",
    "auth_scheme": "",
}
SPOKEN: Mapping[str, Mapping[str, Any]] = {"responses": RESPONSES, "anthropic": ANTHROPIC, "gemini": GEMINI}

WORDED = frozenset(
    {
        FaultKind.RATE_LIMITED,
        FaultKind.SERVER_ERROR,
        FaultKind.OVERLOADED,
        FaultKind.SITE_OVERLOADED,
        FaultKind.CUT_BODY,
        FaultKind.ERROR_OBJECT,
        FaultKind.EMPTY_BODY,
        FaultKind.WRONG_SHAPE,
    }
)
"""Faults that each protocol tells in its own words; the others are of the network or of a proxy."""


def speak(stage: Scene, spoken: Mapping[str, Any]) -> None:
    """Have every account spoken to so."""
    url = stage.sim.base_url if spoken is RESPONSES else stage.sim.url
    stage.accounts = [replace(account, base_url=url, **spoken) for account in stage.accounts]


@pytest.mark.parametrize(
    "means",
    [means for means in TAKEN_FOR if means.kind in WORDED],
    ids=lambda means: f"{means.kind}{'-paid' if means.is_paid else ''}",
)
@pytest.mark.parametrize("spoken", SPOKEN.values(), ids=SPOKEN.keys())
def test_a_fault_is_taken_for_the_same_in_each_protocol(
    spoken: Mapping[str, Any], means: Means, sqlite_url: str, tmp_path: Path
) -> None:
    always_paid = means.kind in (FaultKind.RESET_AFTER, FaultKind.CUT_BODY)
    faults = once(means.kind, also_paid=means.is_paid and not always_paid)

    async def check() -> None:
        async with scene(sqlite_url, tmp_path, faults=faults, account={"timeout_seconds": 0.5}) as stage:
            speak(stage, spoken)
            await stage.submit(JOBS)
            await stage.drain(stage.engine())
            judgement = await stage.judged()
            endings: Counter[tuple[str, str | None]] = Counter()
            for (state, error_class), count in (await stage.endings()).items():
                endings[state, means.error_class if error_class == "outage" else error_class] += count
            assert endings == {("ok", None): JOBS, (means.state, means.error_class): JOBS}
            assert judgement.succeeded == JOBS
            assert judgement.extra == judgement.paid_without_usage == (JOBS if means.is_paid else 0)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("end", "health"),
    [("revoked_after_calls", Health.REVOKED), ("exhausted_after_calls", Health.EXHAUSTED)],
)
@pytest.mark.parametrize("spoken", SPOKEN.values(), ids=SPOKEN.keys())
def test_when_a_key_ends_its_account_is_taken_out_in_each_protocol(
    spoken: Mapping[str, Any], end: str, health: Health, sqlite_url: str, tmp_path: Path
) -> None:
    ended = {"authentication"} if health is Health.REVOKED else {"daily_quota" if spoken is GEMINI else "spend"}

    async def check() -> None:
        keys: list[dict[str, Any]] = [{"name": "a", end: 5}, {"name": "b"}]
        async with scene(sqlite_url, tmp_path, keys=keys, account={"worker_concurrency": 4}) as stage:
            speak(stage, spoken)
            await stage.submit(5 * JOBS)
            engine = stage.engine()
            await stage.drain(engine)
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.extra) == (5 * JOBS, 0)
            refusals = [row for row in (await stage.books()).attempts if row["state"] == "refused"]
            assert {row["account"] for row in refusals} == {"a"}
            assert {row["error_class"] for row in refusals} == ended
            assert [worker.bench.health.health for worker in engine.workers] == [health, Health.ACTIVE]

    asyncio.run(check())

"""The small values: routes, usage, accounts, results and the machine's clock."""

import asyncio
import dataclasses

import pytest

from broker.domain.account import Account, Limits
from broker.domain.attempt import CallError
from broker.domain.batch import Batch, Counts
from broker.domain.clock import SystemClock
from broker.domain.dialect import OPENAI_FAMILY
from broker.domain.job import Job, JobKey
from broker.domain.outcome import Finished, RetryAt, RetryPolicy, Waiting
from broker.domain.report import Again, Conclusion, Report
from broker.domain.result import Result
from broker.domain.usage import NO_USAGE, Usage, UsageSource

VALUES = (
    Account, Limits, CallError, Batch, Counts, Job, Finished, RetryAt, RetryPolicy, Waiting, Again, Conclusion,
    Report, Result, Usage,
)  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_values_are_frozen_slotted_and_named(value: type) -> None:
    assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has it
    assert "__dict__" not in dir(value)
    assert all(each.kw_only for each in dataclasses.fields(value))


@pytest.mark.parametrize(("given", "generated", "total"), [(3, 4, 7), (0, 0, 0), (None, 4, None), (3, None, None)])
def test_a_total_is_unknown_when_a_part_is(given: int | None, generated: int | None, total: int | None) -> None:
    assert Usage(input_tokens=given, output_tokens=generated).total_tokens == total


def test_no_usage_is_unknown_and_not_zero() -> None:
    assert (NO_USAGE.input_tokens, NO_USAGE.output_tokens, NO_USAGE.total_tokens) == (None, None, None)
    assert NO_USAGE.source is UsageSource.MISSING


@pytest.mark.parametrize(("limit_group", "group"), [("", "mine"), ("organisation", "organisation")])
def test_accounts_share_the_limits_of_their_group(limit_group: str, group: str) -> None:
    account = Account(
        name="mine",
        provider="vllm",
        protocols=OPENAI_FAMILY,
        base_url="http://x/v1",
        models={},
        limit_group=limit_group,
    )
    assert account.group == group


def test_a_job_is_known_by_its_batch_and_its_place() -> None:
    assert JobKey(3, 0) == (3, 0)
    assert sorted([JobKey(2, 0), JobKey(1, 9), JobKey(1, 2)]) == [(1, 2), (1, 9), (2, 0)]


def test_the_machines_clock_moves_forward_and_lets_others_run() -> None:
    async def run() -> None:
        clock = SystemClock()
        before = clock.monotonic(), clock.now()
        ran: list[bool] = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_note(ran))
            await clock.sleep(-1.0)
            assert ran
        assert clock.monotonic() >= before[0]
        assert before[1] > 1_600_000_000

    asyncio.run(run())


async def _note(ran: list[bool]) -> None:
    ran.append(True)

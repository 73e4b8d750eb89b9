"""One process of the ledger stress: four workers that claim, die, report late and repeat themselves, and readers.

    python ledger_stress_worker.py URL SEED BATCH…

Turns come in on standard input, what was granted and who died goes out on standard output, as JSON lines.
"""

import asyncio
import json
import random
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection

from broker.domain.attempt import AttemptState
from broker.domain.job import JobKey
from broker.domain.report import Again, Conclusion, Part, Report
from broker.errors import StoreUnavailable
from broker.store import results, workers
from broker.store.claim import Claim, Claimant, Claimed, Verdict, claim
from broker.store.engine import Operation, open_database
from broker.store.record import record
from broker.store.workers import Signs
from broker.testing.builders import FINISHED_AT, MODEL, PROVIDER, a_failure, a_report, a_usage, an_answer

P = ParamSpec("P")
T = TypeVar("T")

WORKERS = 4
DIES = 0.045
REPORTS_LATE = 0.6
REPLAYS = 0.1
RETRIES = 0.07
IDLE_S = 0.05


def calls(key: JobKey) -> int:
    """How many calls a job takes."""
    return 1 + key.position % 3 if key.position % 10 == 0 else 1


class Store:
    """The database, asked again and again with the very same operation until it answers."""

    def __init__(self, url: str) -> None:
        self._database = open_database(url)
        self.troubles: Counter[str] = Counter()

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            try:
                return await self._database.write(operation, *args, **kwargs)
            except StoreUnavailable as error:
                self.troubles["deadlocks" if "deadlock" in str(error) else "unanswered"] += 1
                await asyncio.sleep(IDLE_S)

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            try:
                return await self._database.read(operation, *args, **kwargs)
            except StoreUnavailable:
                self.troubles["unread"] += 1
                await asyncio.sleep(IDLE_S)

    async def close(self) -> None:
        await self._database.close()


class Process:
    """What the workers of one process share."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.draw = random.Random(seed)
        self.inbox: list[tuple[JobKey, bool]] = []
        self.arrived = asyncio.Event()
        self.stopping = asyncio.Event()
        self.late: defaultdict[str, list[Report]] = defaultdict(list)
        """Answers of dead workers, which come after these were reaped."""
        self.strays: list[Report] = []
        """Reports that anybody's next flush takes along."""
        self.replays: list[Sequence[Report]] = []
        self.told: Counter[str] = Counter()
        self.parts: dict[tuple[JobKey, int], tuple[bytes, ...]] = {}
        """Of each call: the answers that its job had before."""

    def say(self, **said: Any) -> None:
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()

    async def listen(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            heard = json.loads(line)
            for batch_id, position, from_due in heard.get("turns", ()):
                self.inbox.append((JobKey(batch_id, position), from_due))
            if "reaped" in heard:
                self.strays.extend(self.late.pop(heard["reaped"], ()))
            if heard.get("stop"):
                self.stopping.set()
            self.arrived.set()

    def take(self, most: int) -> list[tuple[JobKey, bool]]:
        """Turns in any order, of any batches."""
        taken = []
        for _ in range(min(most, len(self.inbox))):
            at = self.draw.randrange(len(self.inbox))
            self.inbox[at], self.inbox[-1] = self.inbox[-1], self.inbox[at]
            taken.append(self.inbox.pop())
        return taken

    def report(self, key: JobKey, number: int, account: str) -> Report:
        """How a call ends, once: an answer for most, with a usage and a price of its own."""
        draw, at = self.draw, FINISHED_AT + self.draw.randrange(3) * 3_600
        usage, cost = a_usage(draw.randint(1, 500), draw.randint(1, 500)), Decimal(draw.randint(1, 10**8)).scaleb(-10)
        again = Again(in_s=draw.random() * 0.3, why="busy")
        chance = draw.random()
        if chance < RETRIES:
            state = draw.choice([AttemptState.REFUSED, AttemptState.FAILED])
            return a_report(key, number, state, again, account=account, finished_at=at)
        if chance < RETRIES + 0.02:
            return a_report(key, number, AttemptState.UNKNOWN, again, account=account, finished_at=at)
        failed = chance < RETRIES + 0.04
        state, then = (AttemptState.FAILED, a_failure(key)) if failed else (AttemptState.OK, self.answer(key, number))
        return a_report(key, number, state, then, usage=usage, cost=cost, account=account, finished_at=at)

    def answer(self, key: JobKey, number: int) -> Conclusion | Part:
        """The whole answer, or one part of it: each names the attempts that it is made of."""
        parts = self.parts.get((key, number), ())
        own = b"%d" % number
        if len(parts) + 1 < calls(key):
            return Part(number=len(parts), body=own)
        return replace(an_answer(key, b",".join((*parts, own))), parts=len(parts))

    async def flush(self, reports: list[Report]) -> None:
        """Commit these and a few strays, in any order, sometimes with the whole sent again later."""
        strays = self.strays[:8]
        del self.strays[:8]
        reports = [*reports, *strays]
        self.draw.shuffle(reports)
        if reports:
            await self.store.write(record, reports)
            self.told["flushes"] += 1
            if self.draw.random() < REPLAYS:
                self.replays.append(reports)
        for report in reports:  # an unknown outcome that becomes known after all
            if report.state is AttemptState.UNKNOWN and self.draw.random() < REPORTS_LATE:
                self.say(late=[*report.key, report.number])
                then = self.answer(report.key, report.number)
                at, account = report.finished_at, report.account
                self.strays.append(a_report(report.key, report.number, then=then, account=account, finished_at=at))
        if self.replays and self.draw.random() < 0.5:
            await self.store.write(record, self.replays.pop())
            self.told["replays"] += 1


def register_once(connection: Connection, worker_id: str, account: str) -> None:
    """Announce a worker, unless an announcement whose answer was lost did."""
    if worker_id not in {beat.worker_id for beat in workers.beats(connection)}:
        workers.register(connection, worker_id, account)


class Worker:
    """One worker after the other, in the same seat."""

    def __init__(self, process: Process, account: str) -> None:
        self._process = process
        self._account = account
        self._worker_id = ""
        self._waiting: list[Report] = []

    async def run(self) -> None:
        await self._born()
        draw = self._process.draw
        while True:
            turns = self._process.take(draw.randint(1, 16))
            if not turns:
                await self._flush()
                if self._process.stopping.is_set():
                    return
                self._process.arrived.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_S):
                        await self._process.arrived.wait()
                continue
            granted = await self._claim(turns)
            self._process.say(handled=len(turns))
            self._waiting += [self._process.report(key, number, self._account) for key, number in granted]
            if draw.random() < DIES:
                await self._die()
            elif len(self._waiting) >= draw.randint(8, 64):
                await self._flush()

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(2)
            await self._process.store.write(workers.beat, self._worker_id, Signs(in_flight=len(self._waiting)))

    async def _born(self) -> None:
        await self._process.store.write(register_once, worker_id := uuid.uuid4().hex, self._account)
        self._worker_id = worker_id

    async def _flush(self) -> None:
        reports, self._waiting = self._waiting, []
        await self._process.flush(reports)

    async def _claim(self, turns: Sequence[tuple[JobKey, bool]]) -> list[tuple[JobKey, int]]:
        claims = [
            Claim(key=key, attempt_id=uuid.uuid4().hex, model=MODEL, from_due=from_due) for key, from_due in turns
        ]
        answers = await self._answers(claims)
        granted = self._granted(claims, answers)
        for one, answer in zip(claims, answers, strict=True):
            if answer.verdict is Verdict.ALONE:
                alone = Claim(key=one.key, attempt_id=uuid.uuid4().hex, model=MODEL, from_due=one.from_due, alone=True)
                granted += self._granted([alone], await self._answers([alone]))
        return granted

    async def _answers(self, claims: Sequence[Claim]) -> list[Claimed]:
        claimant = Claimant(worker_id=self._worker_id, account=self._account, provider=PROVIDER)
        while True:
            answers = await self._process.store.write(claim, claimant, claims)
            self._process.told.update(answer.verdict.value for answer in answers)
            if Verdict.STALE not in {answer.verdict for answer in answers}:
                return answers
            await self._process.store.write(workers.beat, self._worker_id, Signs(in_flight=0))

    def _granted(self, claims: Sequence[Claim], answers: Sequence[Claimed]) -> list[tuple[JobKey, int]]:
        granted = [
            (one, answer.number)
            for one, answer in zip(claims, answers, strict=True)
            if answer.verdict is Verdict.GRANTED
        ]
        self._process.parts |= {
            (one.key, answer.number): answer.parts for one, answer in zip(claims, answers, strict=True) if answer.parts
        }
        self._process.say(granted=[[*one.key, number, one.attempt_id] for one, number in granted])
        return [(one.key, number) for one, number in granted]

    async def _die(self) -> None:
        """Leave every call open; most of them answer later all the same, half of these not before the reaper came."""
        process, dead, lost = self._process, self._worker_id, self._waiting
        self._waiting = []
        process.told["abandoned"] += len(lost)
        for report in lost:
            if process.draw.random() < REPORTS_LATE:
                process.say(late=[*report.key, report.number])
                (process.late[dead] if process.draw.random() < 0.5 else process.strays).append(report)
        await self._born()
        process.say(dead=dead)


async def read(process: Process, batch_id: int) -> None:
    """Follow the results of a batch: the next one is always there before the one after it."""
    seq, seen = 0, set[int]()
    while not (process.stopping.is_set() and not process.inbox):
        found = await process.store.read(results.after, batch_id, seq, 200)
        process.told["polls"] += 1
        for result in found:
            if result.seq != seq + 1 or result.position in seen:
                process.say(violation=f"batch {batch_id}: read {result.seq} ({result.position}) after {seq}")
            seq = result.seq
            seen.add(result.position)
        if not found:
            await asyncio.sleep(IDLE_S)


async def main(url: str, seed: int, batch_ids: Sequence[int]) -> None:
    store = Store(url)
    process = Process(store, seed)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with asyncio.TaskGroup() as background:
        listening = background.create_task(process.listen(lines))
        seats = [Worker(process, f"account-{seed}-{seat}") for seat in range(WORKERS)]
        beating = [background.create_task(seat.beat()) for seat in seats]
        reading = [background.create_task(read(process, batch_id)) for batch_id in batch_ids]
        async with asyncio.TaskGroup() as working:
            for seat in seats:
                working.create_task(seat.run())
        process.strays += [report for reports in process.late.values() for report in reports]
        while process.strays:
            await process.flush([])
        for task in (listening, *beating, *reading):
            task.cancel()
    await store.close()
    process.say(told=process.told | store.troubles)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), [int(name) for name in sys.argv[3:]]))

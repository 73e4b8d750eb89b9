"""The life of a job in a worker, in seven steps.

    consume    take turns, about as many as the account can start in a tenth of a second
    translate  the job into the account's protocol
    reserve    requests, tokens and a slot at the limiter, for a start time
    claim      the attempt row, committed just before its start; then the turn is acked
    call       one HTTP request, in a task of its own, which nothing but its deadline ends
    settle     tell the limiter what was really used, and what the provider's headers say
    record     hand the report to the recorder, which commits many at once

Steps one to four run in one loop over many jobs; five to seven in one task per job.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Sequence
from functools import partial

from broker.errors import StoreUnavailable
from broker.limits.port import Ask, Settled, Settlement
from broker.store import due
from broker.store.claim import Claim, Claimed, Verdict, claim
from broker.store.workers import Signs
from broker.transport.port import Consumer
from workers.aside import aside
from workers.bench import HORIZON_S, Bench
from workers.work import Hand, Step, Work

log = logging.getLogger("penstock.pipeline")

CLAIM_BY_S = 0.015
"""A job is claimed at least this long before its start: what a commit takes."""
LEAD_S = 0.045
"""And at most this long: a claim costs less in company, but what is claimed early is lost if the process dies."""
HAND_BACK_S = 2.0
"""A pause longer than this sends work that has not started back to the feeder."""
LONG_WAIT_S = 60.0
"""So does a longer wait for a limit, such as that of a day: other accounts may have what this one cannot start."""
IDLE_S = 1.0


class Pipeline:
    """One worker's loop, from the transport to the recorder."""

    def __init__(self, bench: Bench, consumer: Consumer, changed: asyncio.Event) -> None:
        self._bench = bench
        self._consumer = consumer
        self._changed = changed
        """Set whenever looking again may be worth it: arrivals, free slots, a stop."""
        self._hand: deque[Work] = deque()
        self._timed: deque[Work] = deque()
        self._calls = asyncio.TaskGroup()
        self._resume_at = 0.0
        self._void_before = -math.inf
        self._room: asyncio.Task[None] | None = None
        self._stopping = False
        self.waits_for: str | None = None

    @property
    def in_flight(self) -> int:
        """Calls between their claim and their report."""
        return self._bench.in_flight

    def signs(self) -> Signs:
        """What its life sign tells."""
        bench = self._bench
        holds_off = self._resume_at - bench.clock.monotonic() > IDLE_S  # and has handed back what it had
        return Signs(
            in_flight=bench.in_flight,
            slots=bench.slots,
            waits_for=self.waits_for if self._hand or holds_off else None,
            busy=bench.effort.share(),
        )

    def stop(self) -> None:
        """Start nothing more; `run` returns when what is in flight has been recorded."""
        self._stopping = True
        self._changed.set()

    async def run(self) -> None:
        """Work until `stop`. Cancelled, it reports its calls in flight as aborted."""
        async with self._calls:
            while not self._stopping:
                await self._give_back_void()
                await self.consume()
                await self.reserve()
                for work in await self.claim(self._about_to_start()):
                    self._calls.create_task(self._among_others(work))
                await self._until_something_changes()
            self._consumer.resize(0)
            if self._room is not None:
                self._room.cancel()
            await self._empty_hands("stopped")

    async def consume(self) -> None:
        """Take turns and translate their jobs."""
        now = self._bench.clock.monotonic()
        self._consumer.resize(0 if self._resume_at - now > HAND_BACK_S else self._bench.prefetch())
        room = self._bench.appetite(len(self._hand) + len(self._timed))
        if room <= 0 or self._hand or now < self._resume_at:
            return
        for delivery in self._consumer.take(room):
            hand = Hand(delivery)
            for job in delivery.turn.jobs:
                try:
                    work = await aside(len(job.body), partial(self._bench.translate, job, hand))
                except Exception as problem:  # noqa: BLE001 - the job boundary: it costs this job its result, nobody else
                    await self._bench.untranslatable(job, problem)
                    await hand.let_go()
                    continue
                self._bench.watch(Step.TRANSLATED, work)
                self._hand.append(work)

    async def reserve(self) -> None:
        """Get start times for as many as the limits allow; a longer pause sends the others back."""
        now = self._bench.clock.monotonic()
        if self._bench.health.blocked_for(now) > 0:
            await self._empty_hands("account blocked")
        room = min(len(self._hand), self._bench.free_slots(len(self._timed)))  # a turn may hold more than has room
        if room <= 0 or now < self._resume_at:
            return
        asked = [self._hand.popleft() for _ in range(room)]
        asks = [Ask(reservation_id=work.attempt_id, need=work.charge) for work in asked]
        granted = await self._bench.limiter.reserve(self._bench.group, asks, horizon_s=HORIZON_S)
        self._hand.extendleft(reversed(asked[len(granted.grants) :]))
        for work, grant in zip(asked, granted.grants, strict=False):
            work.start_at = grant.start_at
            self._bench.watch(Step.RESERVED, work)
            self._timed.append(work)
        self.waits_for = granted.why
        if granted.retry_in is None:
            if len(granted.grants) < len(asked):
                self._wait_for_room(granted.generation)
            return
        self._resume_at = now + min(max(granted.retry_in, HORIZON_S / 2), IDLE_S)
        if granted.retry_in > HAND_BACK_S and (granted.why or "").startswith("paused"):
            self._resume_at = now + granted.retry_in  # pauses only grow
            await self._empty_hands(granted.why or "paused")
        elif granted.retry_in > LONG_WAIT_S:
            self._resume_at = now + LONG_WAIT_S  # a limit may be raised, or what was reserved come back, before
            await self._hand_back_the_unreserved(granted.why or "limited")

    def _wait_for_room(self, generation: int) -> None:
        """Nothing but the end of a call helps, and that may be one of another process."""

        async def wait() -> None:
            await self._bench.limiter.changed(self._bench.group, since=generation)
            self._changed.set()

        if self._room is None or self._room.done():
            self._room = self._calls.create_task(wait())

    async def _give_back_void(self) -> None:
        """Start times given before the last pause are void, whichever worker of the account was told to stop."""
        paused_at = self._bench.limiter.void_before(self._bench.group)
        if paused_at > self._void_before:
            self._void_before = paused_at
            await self._start_again()

    async def _empty_hands(self, why: str) -> None:
        """Send all that has not started back; it stays here if the database does not take it."""
        self._hand.extendleft(reversed(self._timed))
        self._timed.clear()
        await self._hand_back_the_unreserved(why)

    async def _hand_back_the_unreserved(self, why: str) -> None:
        """Send back what has no start time; it stays here if the database does not take it."""
        unreserved = list(self._hand)
        self._hand.clear()
        if not await self._hand_back(unreserved, why):
            self._hand.extend(unreserved)

    def _about_to_start(self) -> list[Work]:
        """Take those whose start has come near, unless this worker may not start calls."""
        if not self._timed or not self._bench.may_call():
            return []
        until = self._bench.clock.monotonic() + LEAD_S
        ready = []
        while self._timed and self._timed[0].start_at <= until:
            ready.append(self._timed.popleft())
        return ready

    async def claim(self, ready: Sequence[Work]) -> list[Work]:
        """Claim what is about to start; returns what may be called. The rest belongs to others."""
        if not ready:
            return []
        await self._bench.solo.join(len(ready))
        try:
            answers = await self._claim(ready, alone=False)
        except StoreUnavailable as error:
            self._bench.solo.leave(len(ready))
            self.waits_for = f"database: {error}"
            self._timed.extendleft(reversed(ready))  # the same attempt ids: claiming again is safe
            await self._bench.clock.sleep(IDLE_S)
            return []
        granted = [work for work, answer in zip(ready, answers, strict=True) if answer.verdict is Verdict.GRANTED]
        self._bench.solo.leave(len(ready) - len(granted))
        self._bench.in_flight += len(granted)  # from now on: their tasks begin only when this one waits
        return granted

    async def _claim(self, ready: Sequence[Work], *, alone: bool) -> list[Claimed]:
        bench = self._bench
        bench.open.update((work.attempt_id, work) for work in ready)
        claims = [
            Claim(
                key=work.job.key,
                attempt_id=work.attempt_id,
                model=work.model,
                from_due=work.job.from_due,
                alone=alone,
                others=bench.others(work.job.route),
            )
            for work in ready
        ]
        answers = await bench.database.write(claim, bench.claimant, claims)
        refused: list[Work] = []
        for work, answer in zip(ready, answers, strict=True):
            match answer.verdict:
                case Verdict.GRANTED:
                    work.number, work.history = answer.number, answer.history
                    work.refused_by, work.parts = answer.refused_by, answer.parts
                    bench.watch(Step.CLAIMED, work)
                    await work.hand.let_go()
                    bench.watch(Step.ACKED, work)
                case Verdict.ALONE:
                    del bench.open[work.attempt_id]
                    self._calls.create_task(self._with_nothing_beside(work))
                case Verdict.STALE:
                    self._timed.append(work)
                case _:
                    del bench.open[work.attempt_id]
                    refused.append(work)
                    await work.hand.let_go()
        await self._release(refused)
        if any(answer.verdict is Verdict.STALE for answer in answers):
            await bench.heartbeat.beat(self.signs())
        return answers

    async def _among_others(self, work: Work) -> None:
        try:
            await self._carry_out(work)
        finally:
            self._bench.in_flight -= 1
            self._bench.solo.leave()
            self._changed.set()

    async def _with_nothing_beside(self, work: Work) -> None:
        """A job that was lost with its process before: it waits until all others have ended, and runs alone."""
        async with self._bench.solo.alone():
            # A death from here on must not take along what others have answered and nobody committed yet
            await self._bench.recorder.drained()
            while not self._stopping:
                try:
                    (answer,) = await self._claim([work], alone=True)
                except StoreUnavailable as error:  # the same attempt id again: claiming twice is safe
                    self.waits_for = f"database: {error}"
                    await self._bench.clock.sleep(IDLE_S)
                    continue
                if answer.verdict is Verdict.GRANTED:
                    await self._alone(work)
                break
            else:
                await self._hand_back([work], "stopped")
        self._changed.set()

    async def _alone(self, work: Work) -> None:
        self._bench.in_flight += 1
        try:
            await self._carry_out(work)
        finally:
            self._bench.in_flight -= 1

    async def _carry_out(self, work: Work) -> None:
        """Steps five to seven of one claimed job."""
        bench = self._bench
        try:
            if work.parts:
                await aside(len(work.job.body), lambda: bench.go_on(work))
            early_s = work.start_at - bench.clock.monotonic()
            if early_s > 0:
                await bench.clock.sleep(early_s)
            ending, verdict = await bench.call(work)
            try:
                void = await bench.settle(work, ending, verdict)
            except Exception:
                log.exception("attempt %s could not be settled; its answer is recorded all the same", work.attempt_id)
                void = False
            if void:
                await self._start_again()
            bench.watch(Step.SETTLED, work)
            await bench.record(work, ending, verdict)
            bench.watch(Step.RECORDED, work)
        except asyncio.CancelledError:
            bench.abort(work)
            raise
        except Exception as problem:  # noqa: BLE001 - the job boundary: one job's trouble is not its neighbours'
            await bench.defect(work, problem)

    async def _start_again(self) -> None:
        """The account was told to stop: start times given before that are void."""
        self._void_before = self._bench.limiter.void_before(self._bench.group)
        void = list(self._timed)
        self._timed.clear()
        self._hand.extendleft(reversed(void))
        await self._release(void)

    async def _hand_back(self, works: Sequence[Work], why: str) -> bool:
        """Write due rows for work that has not started, then let go of its turns; False if the database did not."""
        await self._release(works)
        try:
            if works:
                await self._bench.database.write(due.make_due, [work.job.key for work in works], why)
        except StoreUnavailable:
            return False
        for work in works:
            self._bench.open.pop(work.attempt_id, None)
            await work.hand.let_go()
        return True

    async def _release(self, works: Sequence[Work]) -> None:
        if works:
            settlements = [Settlement(reservation_id=work.attempt_id, how=Settled.NOT_STARTED) for work in works]
            await self._bench.limiter.settle(self._bench.group, settlements)

    async def _until_something_changes(self) -> None:
        now = self._bench.clock.monotonic()
        moments = [now + IDLE_S]
        if self._timed:
            moments.append(self._timed[0].start_at - CLAIM_BY_S if self._bench.may_call() else now + HORIZON_S)
        if self._resume_at > now:
            moments.append(self._resume_at)
        try:
            async with asyncio.timeout(max(0.0, min(moments) - now)):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

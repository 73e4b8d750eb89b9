"""A worker's bench: everything that its pipeline works with, and what each step does to one job."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from broker.domain.account import Account
from broker.domain.attempt import AttemptState, CallError, ErrorClass, Scope
from broker.domain.clock import Clock
from broker.domain.job import Job
from broker.domain.outcome import RetryPolicy
from broker.domain.provider import HeaderDialect
from broker.domain.report import Again, Report
from broker.domain.result import ResultState
from broker.errors import StoreUnavailable
from broker.feeder.window import RateMeter
from broker.limits.charge import actual_charge, estimated_charge
from broker.limits.estimate import Estimator
from broker.limits.facts import request_facts
from broker.limits.observations import observations
from broker.limits.port import Charge, Limiter, Settled, Settlement
from broker.protocols.exact_json import parsed
from broker.protocols.losses import UntranslatableRequest
from broker.store.claim import Claimant
from broker.store.engine import Database
from broker.store.finish import Finish, finish
from workers.account_health import AccountHealth, Health
from workers.appetite import moved, starts_per_second
from workers.aside import aside
from workers.calls import CALL_ID_HEADER, Calls
from workers.capabilities import Capabilities
from workers.classify import Verdict
from workers.effort import Effort
from workers.endings import Ending, NotConnected, Responded
from workers.heartbeat import Heartbeat
from workers.interpreter import Interpreter, Said, not_said, refusal
from workers.judge import Judge
from workers.probing import Probing
from workers.recorder import Recorder
from workers.reporting import NEVER_SENT, Reporter, defect_of, reported
from workers.retry import TRANSIENT, account_pause, decide
from workers.settling import settled
from workers.solo import Solo
from workers.work import Hand, Step, Work

log = logging.getLogger("penstock.worker")

HORIZON_S = 0.1
"""Start times are reserved this far ahead, in seconds: enough to never run dry, little enough to stay fair."""

PREFETCH_S = 1.0
"""What waits at hand hides the way to the transport; what waits there, no other worker can take."""

_LEARNING_ANSWERS = 1_000
_LEARN_EVERY = 8
"""Behind the first thousand answers, every eighth teaches the estimates enough."""

Watch = Callable[[Step, Work], None]
_ABORTED = CallError(
    error_class=ErrorClass.ABORTED, scope=Scope.SAME, message="the process was told to stop at once during this call"
)
_DEFECT = "a defect of ours ended this call ({}); its outcome is unknown"


@dataclass(slots=True, kw_only=True)
class Bench:
    """One worker's tools. `open` holds its claimed jobs until their reports are committed."""

    account: Account
    interpreter: Interpreter
    reporter: Reporter
    judge: Judge
    header_dialect: HeaderDialect
    """What its rate-limit headers mean."""
    claimant: Claimant
    calls: Calls
    probing: Probing
    limiter: Limiter
    estimator: Estimator
    database: Database
    recorder: Recorder
    heartbeat: Heartbeat
    health: AccountHealth
    solo: Solo
    policy: RetryPolicy
    clock: Clock
    effort: Effort
    random: Callable[[], float]
    new_id: Callable[[], str]
    model_of: Callable[[str], str]
    """Route to logical model."""
    routes: frozenset[str]
    """Those that it takes turns of."""
    others: Callable[[str], frozenset[str]]
    """The other accounts that serve a route."""
    watch: Watch
    open: dict[str, Work] = field(default_factory=dict)
    in_flight: int = 0
    """Jobs between their claim and their report."""
    _mean: Charge = field(default_factory=Charge)
    _answers: int = 0
    _pace: RateMeter = field(init=False)

    def __post_init__(self) -> None:
        self._pace = RateMeter(now=self.clock.monotonic())

    @property
    def group(self) -> str:
        return self.account.group

    @property
    def slots(self) -> int:
        """Calls that may be in flight here at the same time; what nobody declared, the server may say."""
        most, declared = self.account.worker_concurrency, self.account.limits.concurrency
        told = self.capabilities.slots
        if declared is None and told is not None:
            declared = max(1, told // self.account.workers)
        return min(most, declared or most)

    @property
    def capabilities(self) -> Capabilities:
        """What its server says of itself."""
        return self.probing.capabilities

    def free_slots(self, held: int) -> int:
        """How many calls may be added to those in flight and those `held` back for their start; one to probe with."""
        blocked = self.health.blocked_for(self.clock.monotonic())
        if blocked > 0:
            return 0
        if self.health.reason is not None:  # blocked, and due for a probe
            return 1 if not held and not self.in_flight else 0
        return self.slots - self.in_flight - held

    def appetite(self, held: int) -> int:
        """How many more jobs to take: free slots, but no more than the declared limits start within the horizon."""
        free = self.free_slots(held)
        rate = starts_per_second(self.account, self._mean)
        return free if rate is None else min(free, max(1, ceil(rate * HORIZON_S)) - held)

    def prefetch(self) -> int:
        """How many jobs to have at hand: those that may start at once, and a second of this account's own rate.

        None while the account is blocked or calls may not be started: others may have them.
        """
        now = self.clock.monotonic()
        if not self.may_call() or self.health.blocked_for(now) > 0:
            return 0
        declared = starts_per_second(self.account, self._mean)
        rate = self._pace.rate(now=now) if declared is None else declared / self.account.workers
        return max(1, self.appetite(0) + ceil(rate * PREFETCH_S))

    def may_call(self) -> bool:
        """Whether calls may be started at all."""
        return self.heartbeat.fresh

    def translate(self, job: Job, hand: Hand) -> Work:
        """Put a job into the words of this account's provider, and say what it will take."""
        logical = self.model_of(job.route)
        model = self.account.models[logical]
        request = _parsed(job.body)
        facts = request_facts(job.body, request, model=model, batch_id=job.key.batch_id, endpoint=job.endpoint)
        said, refused = self._said(job, lambda: self.interpreter.said(job, request, logical=logical, model=model))
        if said is not None and said.fan_out > 1 and facts.max_tokens is not None:  # of one of several calls
            facts = replace(facts, max_tokens=facts.max_tokens // said.fan_out)
        charge = estimated_charge(self.estimator.estimate(facts), self.account.charge_mode)
        self._mean = moved(self._mean, charge)
        return Work(
            job=job,
            hand=hand,
            attempt_id=self.new_id(),
            model=model,
            said=said,
            refused=refused,
            losses=() if said is None else said.warnings,
            facts=facts,
            charge=charge,
        )

    def go_on(self, work: Work) -> None:
        """Some of the answers that a claimed job takes are there: only the others are asked for."""
        job, logical, there = work.job, self.model_of(work.job.route), len(work.parts)
        work.said, work.refused = self._said(
            job, lambda: self.interpreter.said_for_the_rest(job, there, logical=logical, model=work.model)
        )

    def _said(self, job: Job, say: Callable[[], Said]) -> tuple[Said | None, CallError | None]:
        """A job in the provider's words, or why not; where that is our own fault, too, another account may have it."""
        try:
            return say(), None
        except UntranslatableRequest as problem:
            return None, refusal(problem)
        except Exception as problem:  # the job boundary: it costs this job a look at another account
            log.exception("batch %d position %d cannot be translated", *job.key)
            return None, not_said(self.account.provider, problem)

    async def untranslatable(self, job: Job, problem: Exception) -> None:
        """The job cannot be put into the provider's words: it ends here, and no call was made."""
        log.error("batch %d position %d cannot be translated", *job.key, exc_info=problem)
        end = Finish(
            position=job.key.position,
            custom_id=job.custom_id,
            state=ResultState.FAILED,
            error_code="untranslatable",
            error_message=f"the request cannot be translated for {self.account.provider}: {type(problem).__name__}",
        )
        while True:
            try:
                await self.database.write(finish, job.key.batch_id, [end])
            except StoreUnavailable:
                await self.clock.sleep(1.0)  # nothing else could be claimed meanwhile
            else:
                return

    async def call(self, work: Work) -> tuple[Ending, Verdict]:
        """Make the one HTTP request of this attempt, and say what its end means."""
        said = work.said
        if said is None or not self.may_call():
            error = work.refused or NEVER_SENT
            return NotConnected(reason=error.message), Verdict(state=AttemptState.REFUSED, error=error)
        work.sent_at = self.clock.now()
        self.watch(Step.CALLED, work)
        ending = await self.calls.post(said.url, {CALL_ID_HEADER: work.attempt_id, **said.headers}, said.body)
        self.watch(Step.ANSWERED, work)
        work.ending = ending
        size = len(ending.body) if isinstance(ending, Responded) else 0
        verdict = await aside(size, lambda: self._judged(work, said, ending))
        work.verdict = verdict
        return ending, verdict

    def _judged(self, work: Work, said: Said, ending: Ending) -> Verdict:
        window = self.capabilities.context_window(work.model)
        try:
            return self.judge.verdict(work.job, work.facts, said, ending, context_window=window, now=self.clock.now())
        except Exception as problem:
            if not (isinstance(ending, Responded) and 200 <= ending.status < 300):
                raise
            log.exception("attempt %s: its answer cannot be read; it is kept as it came", work.attempt_id)
            return Verdict(state=AttemptState.FAILED, error=defect_of(problem, status=ending.status))

    async def settle(self, work: Work, ending: Ending, verdict: Verdict) -> bool:
        """Tell limiter, estimator and health what the call really was; returns whether the account must pause."""
        usage = reported(verdict)
        actual = actual_charge(usage, self.account.charge_mode, work.charge)
        self._pace.add(1, now=self.clock.monotonic())
        settlement = Settlement(reservation_id=work.attempt_id, how=settled(verdict), actual=actual)
        await self.limiter.settle(self.group, [settlement])
        if isinstance(ending, Responded) and (
            seen := observations(self.header_dialect, ending.headers, self.clock.now())
        ):
            await self.limiter.observe(self.group, seen, sent_at=work.start_at)
        if verdict.error is None:
            self.health.succeeded(work.start_at)
            self.probing.succeeded()
            self._answers += 1
            if self._answers < _LEARNING_ANSWERS or self._answers % _LEARN_EVERY == 0:
                self.estimator.learn(work.facts, usage)
            return False
        self.probing.went_wrong(verdict.error)
        earlier = work.history.get(verdict.error.error_class, 0)
        self.health.went_wrong(verdict.error, self.clock.monotonic(), work.job.key, earlier)
        pause = account_pause(verdict.error, self.policy)
        if pause is None or self.health.reason is not None:
            return self.health.reason is not None
        if verdict.error.error_class in (ErrorClass.AUTHENTICATION, ErrorClass.PERMISSION):
            return False  # one alone is not believed
        await self.limiter.throttle(self.group, hint_s=pause, resource=None, reason=verdict.error.error_class)
        return True

    async def record(self, work: Work, ending: Ending, verdict: Verdict) -> None:
        """Decide what becomes of the job, and hand over the report of this attempt."""
        size = 0 if work.passes_through or not isinstance(ending, Responded) else len(ending.body) + len(work.job.body)
        await self.recorder.put(await aside(size, lambda: self._decided(work, ending, verdict)))

    def _decided(self, work: Work, ending: Ending, verdict: Verdict) -> Report:
        if verdict.error and verdict.error.error_class in TRANSIENT and self.health.health is Health.FAILING:
            verdict = replace(verdict, error=replace(verdict.error, error_class=ErrorClass.OUTAGE))
        outcome = decide(
            verdict,
            work.history,
            policy=self.policy,
            random=self.random(),
            other_account=bool(self.others(work.job.route) - work.refused_by),
            account_works=self.health.vouched_for,
        )
        return self.reporter.report(work, ending, verdict, outcome)

    def abort(self, work: Work) -> None:
        """The process stops at once: what is known of this call is reported, else its outcome will stay unknown.

        A call that is reported already is reported again, which changes nothing.
        """
        if work.ending is not None and work.said is not None:
            verdict = work.verdict or self._judged(work, work.said, work.ending)
            self.recorder.put_nowait(self._decided(work, work.ending, verdict))
            return
        if work.sent_at is None:
            verdict = Verdict(state=AttemptState.REFUSED, error=NEVER_SENT)
        else:
            verdict = Verdict(state=AttemptState.UNKNOWN, error=_ABORTED)
        self.recorder.put_nowait(self.reporter.closing(work, verdict, Again(in_s=0, why=ErrorClass.ABORTED)))

    async def defect(self, work: Work, problem: Exception) -> None:
        """Our own code failed around a call: the job goes on by the rules for unknown outcomes."""
        log.error("attempt %s of batch %d position %d", work.attempt_id, *work.job.key, exc_info=problem)
        message = _DEFECT.format(type(problem).__name__)
        error = CallError(error_class=ErrorClass.OUTCOME_UNKNOWN, scope=Scope.SAME, message=message)
        verdict = Verdict(state=AttemptState.UNKNOWN, error=error)
        await self.record(work, NotConnected(reason=message), verdict)
        await self.limiter.settle(self.group, [Settlement(reservation_id=work.attempt_id, how=Settled.USED)])


def _parsed(body: bytes) -> Mapping[str, Any]:
    """Read the request, for its facts only; a body that no parser of ours takes teaches nothing."""
    try:
        request = parsed(body)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}

"""CLAIM: many jobs in one transaction; who may call the provider.

A claim inserts the attempt row. The batch row is held by a key-share lock, which recorders do not block, but
the sweep of a cancelled batch does; the attempt's number, last seen + 1, is in the primary key, so a claim
that decided on old facts collides instead of being granted.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select

from broker.domain.attempt import REFUSES_FOR_GOOD, AttemptState, ErrorClass
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.store.sql import Facts, JsonRows, Sql
from broker.store.tables import batches

HEARTBEAT_FRESH_S = 15.0
"""A worker whose last confirmed heartbeat is older than this starts no call."""
ALONE_AFTER = 2
"""A job that was lost with its process this often runs alone in its process."""


class Verdict(StrEnum):
    """The answer to one claim."""

    GRANTED = "granted"
    """Call. Also the answer to a repeated claim with the same attempt id."""
    FINISHED = "finished"
    ELSEWHERE = "elsewhere"
    """Another attempt is open, or has just won the race: it owns the job's future."""
    CLOSED = "closed"
    """The batch may not run any more."""
    PAUSED = "paused"
    """The job has been handed back to the feeder."""
    NOT_HERE = "not_here"
    """This account has refused the job for good, and others have not yet: it has been handed back to the feeder."""
    ALONE = "alone"
    """The job must run alone; claim again when nothing else runs in this process."""
    STALE = "stale"
    """The worker's own heartbeat is too old: neither call nor ack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wish to call the provider for one job; `attempt_id` is the worker's own."""

    key: JobKey
    attempt_id: str
    model: str
    from_due: bool = False
    alone: bool = False
    others: frozenset[str] = frozenset()
    """The other accounts that serve the job's route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The answer; all but the verdict only when granted.

    `history`: earlier attempts, by what went wrong. Each answer of a job that takes several calls has tries of its own:
    what went wrong before the last one that is there does not count any more, but for deaths.
    """

    verdict: Verdict
    number: int = 0
    history: Mapping[ErrorClass, int] = field(default_factory=dict)
    refused_by: frozenset[str] = frozenset()
    """Accounts that have refused the job for good; when all that serve it have, it ends."""
    parts: tuple[bytes, ...] = ()
    """Of a job that takes several calls: the answers that are there, in order. The call brings the one behind them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who claims."""

    worker_id: str
    account: str
    provider: str


@dataclass(slots=True)
class _Past:
    """The attempts that a job has had."""

    number: int = 0
    open_attempt: str | None = None
    history: Counter[ErrorClass] = field(default_factory=Counter)
    refused_by: set[str] = field(default_factory=set)
    answered: bool = False
    idle_s: float = 0.0
    """Since the last one was claimed."""
    parts: list[bytes] = field(default_factory=list)


NOT_HERE_FOR_S = 0.25
NOT_HERE_AT_MOST_S = 8.0
_NOT_HERE_SHARE = 0.25
"""The longer nobody else takes a job, the more seldom it comes round: after this share of the time that it waits."""

_KEYS = JsonRows("keys", batch_id="bigint", position="bigint")
_PARKED = JsonRows("parked", batch_id="bigint", position="bigint", in_s="double precision", why="text")
_GRANTS = JsonRows("grants", batch_id="bigint", position="bigint", number="int", attempt_id="text", model="text")

_FRESH = Sql("select heartbeat > {now} - :within from workers where worker_id = :worker_id and stopped_at is null")
_STANDING = Facts(
    """
    select k.batch_id, k.position,
      (select 1 from results r where r.batch_id = k.batch_id and r.position = k.position) as finished,
      (select max(a.number) from attempts a where a.batch_id = k.batch_id and a.position = k.position) as number
    from {keys} k
    """,
    _KEYS,
    columns=("batch_id", "position", "finished", "number"),
)
_PAST = Sql(
    """
    select a.batch_id, a.position, a.number, a.attempt_id, a.state, a.account, a.error_class,
      {now} - a.claimed_at as idle_s,
      (select 1 from results r where r.batch_id = k.batch_id and r.position = k.position) as finished
    from {keys} k join attempts a on a.batch_id = k.batch_id and a.position = k.position
    order by k.batch_id, k.position, a.number
    """,
    _KEYS,
)
_PARTS = Sql(
    """
    select p.batch_id, p.position, p.body
    from {keys} k join part_answers p on p.batch_id = k.batch_id and p.position = k.position
    order by k.batch_id, k.position, p.part
    """,
    _KEYS,
)
_INSERT = Sql(
    """
    insert into attempts
      (batch_id, position, number, attempt_id, worker_id, account, provider, model, state, claimed_at)
    select g.batch_id, g.position, g.number, g.attempt_id, :worker_id, :account, :provider, g.model, 'open', {now}
    from {grants} g where true order by g.batch_id, g.position
    on conflict do nothing
    """,
    _GRANTS,
)
_INSERTED = Sql(
    """
    select a.attempt_id from {grants} g join attempts a
      on a.batch_id = g.batch_id and a.position = g.position and a.number = g.number and a.attempt_id = g.attempt_id
    """,
    _GRANTS,
)
_NOT_DUE = Sql(
    """
    delete from due where (batch_id, position) in (
      select d.batch_id, d.position from due d
      where (d.batch_id, d.position) in (select k.batch_id, k.position from {keys} k) {skip_locked})
    """,
    _KEYS,
)
_PARK = Sql(
    """
    insert into due (batch_id, position, at, why) select p.batch_id, p.position, {now} + p.in_s, p.why
    from {parked} p where true order by p.batch_id, p.position
    on conflict (batch_id, position) do update set at = excluded.at, why = excluded.why, fed_at = null
    """,
    _PARKED,
)


def claim(connection: Connection, claimant: Claimant, claims: Sequence[Claim]) -> list[Claimed]:
    """Answer claims, in their order; attempt ids are distinct, and of two claims of one job at most one is granted."""
    fresh = connection.execute(
        _FRESH.on(connection), {"worker_id": claimant.worker_id, "within": HEARTBEAT_FRESH_S}
    ).scalar_one_or_none()
    if not fresh:
        return [Claimed(verdict=Verdict.STALE)] * len(claims)
    states = _batch_states(connection, sorted({claim.key.batch_id for claim in claims}))
    finished, pasts = _standing(connection, claims)
    decided = [
        _decide(
            claim,
            claimant.account,
            states.get(claim.key.batch_id),
            finished=claim.key in finished,
            past=pasts.get(claim.key, _Past()),
        )
        for claim in claims
    ]
    decided = _insert(connection, claimant, claims, decided, pasts)
    _tidy_due(connection, claims, decided, pasts)
    return decided


def _batch_states(connection: Connection, batch_ids: Sequence[int]) -> dict[int, BatchState]:
    rows = connection.execute(
        select(batches.c.batch_id, batches.c.state)
        .where(batches.c.batch_id.in_(batch_ids))
        .order_by(batches.c.batch_id)
        .with_for_update(read=True, key_share=True)
    )
    return {row.batch_id: BatchState(row.state) for row in rows}


def _standing(connection: Connection, claims: Sequence[Claim]) -> tuple[set[JobKey], dict[JobKey, _Past]]:
    """Which jobs are finished, and what the others have been through."""
    keys = _KEYS.pack(claim.key for claim in claims)
    finished: set[JobKey] = set()
    tried: list[JobKey] = []
    for batch_id, position, is_finished, number in _STANDING.read(connection, keys=keys):
        if is_finished:
            finished.add(JobKey(batch_id, position))
        elif number:
            tried.append(JobKey(batch_id, position))
    pasts: dict[JobKey, _Past] = defaultdict(_Past)
    if tried:
        for row in connection.execute(_PAST.on(connection), {"keys": _KEYS.pack(tried)}):
            key = JobKey(row.batch_id, row.position)
            if row.finished:  # since the last statement: an attempt that has ended meanwhile may have brought it
                finished.add(key)
            _add(pasts[key], row)
    _read_parts(connection, [key for key, past in pasts.items() if past.answered and key not in finished], pasts)
    return finished, pasts


def _add(past: _Past, row: Row[Any]) -> None:
    """Take the next attempt of a job into account."""
    past.number, past.idle_s = row.number, row.idle_s
    if row.state == AttemptState.OPEN:
        past.open_attempt = row.attempt_id
    elif row.state == AttemptState.OK:
        past.answered = True
        past.history = Counter({ErrorClass.LOST: lost} if (lost := past.history[ErrorClass.LOST]) else {})
    elif row.error_class:
        past.history[ErrorClass(row.error_class)] += 1
        if row.error_class in REFUSES_FOR_GOOD:
            past.refused_by.add(row.account)


def _read_parts(connection: Connection, keys: Sequence[JobKey], pasts: Mapping[JobKey, _Past]) -> None:
    """A good answer without a result was one of several."""
    if keys:
        for row in connection.execute(_PARTS.on(connection), {"keys": _KEYS.pack(keys)}):
            pasts[JobKey(row.batch_id, row.position)].parts.append(bytes(row.body))


def _decide(claim: Claim, account: str, state: BatchState | None, *, finished: bool, past: _Past) -> Claimed:
    if past.open_attempt == claim.attempt_id and not finished:
        return _granted(past, past.number)
    if refusal := _refusal(claim, state, finished, past):
        return Claimed(verdict=refusal)
    if account in past.refused_by and not past.refused_by.issuperset(claim.others):
        return Claimed(verdict=Verdict.NOT_HERE)
    return _granted(past, past.number + 1)


def _granted(past: _Past, number: int) -> Claimed:
    return Claimed(
        verdict=Verdict.GRANTED,
        number=number,
        history=past.history,
        refused_by=frozenset(past.refused_by),
        parts=tuple(past.parts),
    )


def _refusal(claim: Claim, state: BatchState | None, finished: bool, past: _Past) -> Verdict | None:
    match state:
        case _ if finished:
            return Verdict.FINISHED
        case _ if past.open_attempt is not None:
            return Verdict.ELSEWHERE
        case BatchState.PAUSED:
            return Verdict.PAUSED
        case BatchState.RUNNING:
            suspect = past.history[ErrorClass.LOST] >= ALONE_AFTER
            return Verdict.ALONE if suspect and not claim.alone else None
        case _:
            return Verdict.CLOSED


def _insert(
    connection: Connection,
    claimant: Claimant,
    claims: Sequence[Claim],
    decided: Sequence[Claimed],
    pasts: Mapping[JobKey, _Past],
) -> list[Claimed]:
    """Insert the granted attempts; a collision means that somebody else was quicker."""
    new = [
        (claim, answer)
        for claim, answer in zip(claims, decided, strict=True)
        if answer.verdict is Verdict.GRANTED and (claim.key not in pasts or pasts[claim.key].open_attempt is None)
    ]
    if not new:
        return list(decided)
    grants = _GRANTS.pack((*claim.key, answer.number, claim.attempt_id, claim.model) for claim, answer in new)
    who = {"worker_id": claimant.worker_id, "account": claimant.account, "provider": claimant.provider}
    if connection.execute(_INSERT.on(connection), {"grants": grants, **who}).rowcount == len(new):
        return list(decided)
    # By attempt, not by job: a job that came twice in one claim has one winner
    lost = {claim.attempt_id for claim, _ in new} - set(
        connection.execute(_INSERTED.on(connection), {"grants": grants}).scalars()
    )
    return [
        Claimed(verdict=Verdict.ELSEWHERE) if claim.attempt_id in lost else answer
        for claim, answer in zip(claims, decided, strict=True)
    ]


def _tidy_due(
    connection: Connection, claims: Sequence[Claim], decided: Sequence[Claimed], pasts: Mapping[JobKey, _Past]
) -> None:
    """A due row ends with the claim that it led to; one that cannot run now gets one."""
    settled = [
        claim.key
        for claim, answer in zip(claims, decided, strict=True)
        if claim.from_due and answer.verdict in (Verdict.GRANTED, Verdict.FINISHED)
    ]
    if settled:
        connection.execute(_NOT_DUE.on(connection), {"keys": _KEYS.pack(settled)})
    parked = {
        claim.key: (_away_s(claim.key, answer.verdict, pasts), answer.verdict)
        for claim, answer in zip(claims, decided, strict=True)
        if answer.verdict in (Verdict.PAUSED, Verdict.NOT_HERE)
    }
    if parked:
        rows = _PARKED.pack((*key, in_s, why) for key, (in_s, why) in parked.items())
        connection.execute(_PARK.on(connection), {"parked": rows})


def _away_s(key: JobKey, verdict: Verdict, pasts: Mapping[JobKey, _Past]) -> float:
    """For how long a job is not fed again."""
    if verdict is Verdict.PAUSED:
        return 0.0  # the feeder takes it when its batch runs again
    return min(NOT_HERE_AT_MOST_S, max(NOT_HERE_FOR_S, _NOT_HERE_SHARE * pasts[key].idle_s))

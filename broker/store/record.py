"""RECORD: many reports in one transaction, with all that follows from them.

Lock order everywhere: batches by id, then attempts, results and due rows, then the hourly sums by key. The
facts are read in a statement of their own, after the batch locks: so they include what the previous holder
committed. The whole is idempotent; after any doubt about a commit, send the same reports again.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, case, delete, insert, select, update

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Report
from broker.domain.usage import Usage, UsageSource
from broker.store.bulk import Bulk
from broker.store.facts import BatchFacts, Fact, KeptPart
from broker.store.plan import Plan, plan
from broker.store.sql import Facts, JsonRows, Sql, now, upsert
from broker.store.tables import Money, attempts, batches, due, part_answers, results, usage_hourly

_REPORTS = JsonRows("reports", batch_id="bigint", position="bigint", number="int")
_FACTS = Facts(
    """
    select r.batch_id, r.position, r.number,
      (select a.state from attempts a
        where a.batch_id = r.batch_id and a.position = r.position and a.number = r.number) as attempt_state,
      (select 1 from results x where x.batch_id = r.batch_id and x.position = r.position) as finished,
      (select 1 from due d where d.batch_id = r.batch_id and d.position = r.position) as due
    from {reports} r
    """,
    _REPORTS,
    columns=("batch_id", "position", "number", "attempt_state", "finished", "due"),
)

_KEYS = JsonRows("keys", batch_id="bigint", position="bigint")
_PARTS = Sql(
    """
    select k.batch_id, k.position, p.part, a.input_tokens, a.cache_read_tokens, a.cache_write_tokens, a.output_tokens,
      a.reasoning_tokens, a.usage_source, a.cost
    from {keys} k
      join part_answers p on p.batch_id = k.batch_id and p.position = k.position
      join attempts a on a.batch_id = p.batch_id and a.position = p.position and a.number = p.number
    order by k.batch_id, k.position, p.part
    """,
    _KEYS,
)
_FORGET_PARTS = Sql(
    """
    delete from part_answers where (batch_id, position) in (select k.batch_id, k.position from {keys} k)
    """,
    _KEYS,
)

_CLOSE_ATTEMPT = (
    update(attempts)
    .where(
        attempts.c.batch_id == bindparam("of_batch"),
        attempts.c.position == bindparam("of_position"),
        attempts.c.number == bindparam("of_number"),
    )
    .values({
        name: bindparam(name)
        for name in (
            "state", "error_class", "error", "status", "provider_request_id", "sent_at", "finished_at",
            "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
            "usage_source", "cost", "price_version",
        )
    })
)  # fmt: skip
_ATTEMPTS = Bulk(_CLOSE_ATTEMPT)
_RESULTS = Bulk(insert(results))
_PART_ANSWERS = Bulk(insert(part_answers))
_FORGET_DUE = delete(due).where(due.c.batch_id == bindparam("of_batch"), due.c.position == bindparam("of_position"))
_SUMS = (
    "attempts", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "cost", "unpriced",
)  # fmt: skip
_TOKENS = _SUMS[1:6]
_COUNTS = ("succeeded", "failed", "cancelled", "expired")
_ADD_TO_BATCH = (
    update(batches)
    .where(batches.c.batch_id == bindparam("of_batch"))
    .values(
        {name: batches.c[name] + bindparam(f"add_{name}", type_=batches.c[name].type) for name in (*_SUMS, *_COUNTS)}
        | {
            "state": bindparam("state"),
            "finished_at": case(
                (batches.c.finished_at.is_not(None), batches.c.finished_at),
                else_=bindparam("finished_at", type_=batches.c.finished_at.type),
            ),
        }
    )
)


def record(connection: Connection, reports: Sequence[Report]) -> Plan:
    """Commit reports; those already counted change nothing. Returns what was decided."""
    locked = lock_batches(connection, sorted({report.key.batch_id for report in reports}))
    facts = _read_facts(connection, reports)
    decided = plan(reports, facts, locked, at=now(connection))
    write_plan(connection, decided)
    return decided


def lock_batches(connection: Connection, batch_ids: Sequence[int], *, barrier: bool = False) -> dict[int, BatchFacts]:
    """Lock these batches against every other recorder, in id order; claims go on, unless this is a `barrier`."""
    columns = (
        batches.c.batch_id,
        batches.c.state,
        batches.c.total,
        batches.c.sealed,
        batches.c.project,
        batches.c.tag,
    )
    finished = batches.c.succeeded + batches.c.failed + batches.c.cancelled + batches.c.expired
    rows = connection.execute(
        select(*columns, finished.label("finished"))
        .where(batches.c.batch_id.in_(batch_ids))
        .order_by(batches.c.batch_id)
        .with_for_update(key_share=not barrier)
    )
    return {
        row.batch_id: BatchFacts(
            state=BatchState(row.state),
            total=row.total,
            finished=row.finished,
            project=row.project,
            tag=row.tag,
            sealed=row.sealed,
        )
        for row in rows
    }


def _read_facts(connection: Connection, reports: Sequence[Report]) -> list[Fact]:
    packed = _REPORTS.pack((*report.key, report.number) for report in reports)
    rows = _FACTS.read(connection, reports=packed)
    parts = _read_parts(connection, {(row[0], row[1]) for row in rows if _may_have_parts(row[2], row[3])})
    facts = {
        (batch_id, position, number): Fact(
            attempt=AttemptState(state) if state else None,
            finished=finished is not None,
            due=due is not None,
            parts=tuple(parts[batch_id, position]) if (batch_id, position) in parts else (),
        )
        for batch_id, position, number, state, finished, due in rows
    }
    return [facts[*report.key, report.number] for report in reports]


def _may_have_parts(number: int, state: str | None) -> bool:
    """Before the end of a job's first attempt, nothing of its answer is there."""
    return number > 1 or state == AttemptState.UNKNOWN


def _read_parts(connection: Connection, keys: Collection[tuple[int, int]]) -> dict[tuple[int, int], list[KeptPart]]:
    found: dict[tuple[int, int], list[KeptPart]] = defaultdict(list)
    if not keys:
        return found
    query = _PARTS.on(connection).columns(cost=Money())
    for batch_id, position, part, *tokens, source, cost in connection.execute(query, {"keys": _KEYS.pack(keys)}):
        usage = Usage(**dict(zip(_TOKENS, tokens, strict=True)), source=UsageSource(source))
        found[batch_id, position].append(KeptPart(number=part, usage=usage, cost=cost))
    return found


def write_plan(connection: Connection, decided: Plan) -> None:
    """Write what was decided; the caller holds the batch locks."""
    if decided.results:
        _RESULTS.execute(connection, decided.results)
    if decided.attempts:
        _ATTEMPTS.execute(connection, decided.attempts)
    if decided.parts:
        _PART_ANSWERS.execute(connection, decided.parts)
    if decided.no_parts:
        forget_parts(connection, decided.no_parts)
    if decided.not_due:
        connection.execute(_FORGET_DUE, [_of(key) for key in decided.not_due])
    if decided.due:
        put_due(connection, decided.due)
    if decided.hourly:
        _add_hourly(connection, decided.hourly)
    if decided.batches:
        connection.execute(_ADD_TO_BATCH, decided.batches)
    ended = [row["of_batch"] for row in decided.batches if row["finished_at"] is not None]
    if ended:  # turns that came twice may have been handed back when their jobs were finished
        connection.execute(delete(due).where(due.c.batch_id.in_(ended)))


def forget_parts(connection: Connection, keys: Collection[JobKey]) -> None:
    """Let go of the parts of jobs that have a result; the caller holds the batch locks."""
    connection.execute(_FORGET_PARTS.on(connection), {"keys": _KEYS.pack(keys)})


def put_due(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    """Hand jobs back: a row per job, rewritten where one exists."""
    statement = upsert(connection, due)
    changed = {"at": statement.excluded.at, "why": statement.excluded.why, "fed_at": None}
    connection.execute(
        statement.on_conflict_do_update(index_elements=[due.c.batch_id, due.c.position], set_=changed),
        sorted(rows, key=lambda row: (row["batch_id"], row["position"])),
    )


def _add_hourly(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    statement = upsert(connection, usage_hourly)
    added = {name: usage_hourly.c[name] + statement.excluded[name] for name in _SUMS}
    connection.execute(
        statement.on_conflict_do_update(index_elements=list(usage_hourly.primary_key.columns), set_=added), list(rows)
    )


def _of(key: JobKey) -> dict[str, int]:
    return {"of_batch": key.batch_id, "of_position": key.position}

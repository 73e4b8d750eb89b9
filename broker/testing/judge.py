"""Compares our ledger with the provider's own: nothing lost, answered wrongly, or paid for without a trace.

The simulator writes down every call that it is paid for, with the id that came with the call. So each promise
about money is a comparison of two independent books, and `Judgement.broken` says in words where they differ.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from broker.domain.attempt import AttemptState
from broker.domain.result import ResultState
from broker.domain.usage import UsageSource
from broker.store.engine import Database
from broker.store.tables import attempts, batches, due, results, usage_hourly

Row = Mapping[str, Any]
_BUCKETS = {
    "input_tokens": "input_tokens",
    "cache_read_tokens": "cached_tokens",
    "output_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_tokens",
}
"""Our column for a token bucket, and the simulator's."""
_SUMMED = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "cost")
_WITHOUT_USAGE = frozenset({AttemptState.UNKNOWN, AttemptState.FAILED})
"""How an attempt may stand that was paid for and whose usage nobody told us."""
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything we hold on one batch."""

    batch: Row
    attempts: Sequence[Row]
    results: Sequence[Row]
    due: int
    hourly: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the comparison found; no promise is broken when `broken` is empty."""

    jobs: int
    succeeded: int
    paid: int
    """Calls in the provider's ledger."""
    extra: int
    """Paid calls beyond the first of each job."""
    extra_by_outcome: Mapping[str, int]
    """How the provider says that those calls ended that did not become a result."""
    attempts: Mapping[str, int]
    """By state."""
    lost: int
    """Attempts whose process died, whatever became known of them later."""
    paid_without_usage: int
    """Paid calls whose usage we do not know, each on an attempt that says so."""
    broken: Sequence[str]

    @property
    def unknown(self) -> int:
        """Attempts whose outcome nobody knows."""
        return self.attempts.get(AttemptState.UNKNOWN, 0)

    def as_json(self) -> dict[str, object]:
        """For the last line of a benchmark."""
        return {name: getattr(self, name) for name in self.__slots__} | {"unknown": self.unknown}


async def read_books(database: Database, batch_id: int) -> Books:
    """Read one batch; meant for a batch that nobody works on."""
    batch = await _rows(database, batches.select().where(batches.c.batch_id == batch_id))
    return Books(
        batch=batch[0],
        attempts=await _rows(database, attempts.select().where(attempts.c.batch_id == batch_id)),
        results=await _rows(database, results.select().where(results.c.batch_id == batch_id).order_by(results.c.seq)),
        due=len(await _rows(database, due.select().where(due.c.batch_id == batch_id))),
        hourly=await _rows(database, usage_hourly.select()),
    )


async def open_attempts(database: Database) -> frozenset[str]:
    """Ids of the calls that our ledger holds to be in flight."""
    rows = await _rows(database, attempts.select().where(attempts.c.finished_at.is_(None)))
    return frozenset(str(row["attempt_id"]) for row in rows)


def paid_calls(lines: bytes) -> list[Row]:
    """The simulator's ledger, from its JSON lines."""
    return [orjson.loads(line) for line in lines.splitlines()]


def judge(books: Books, paid: Sequence[Row], expected: Mapping[str, str]) -> Judgement:
    """Compare; `expected` has the text of the one right answer to each job, by custom id.

    A promise that every job succeeds is the caller's to check: batches with failed rows are judged too.
    """
    by_id = {str(row["attempt_id"]): row for row in books.attempts}
    payments = _payments(by_id, paid)
    succeeded = [row for row in books.results if row["state"] == ResultState.SUCCEEDED]
    first = {(by_id[call_id]["batch_id"], by_id[call_id]["position"]) for call_id in payments if call_id in by_id}
    used = {call_id for call_id, row in by_id.items() if row["state"] == AttemptState.OK}
    return Judgement(
        jobs=len(expected),
        succeeded=len(succeeded),
        paid=len(paid),
        extra=len(paid) - len(first),
        extra_by_outcome=dict(
            sorted(Counter(str(call["outcome"]) for call in paid if call["client_request_id"] not in used).items())
        ),
        attempts=dict(sorted(Counter(str(row["state"]) for row in books.attempts).items())),
        lost=sum(row["error_class"] == "lost" for row in books.attempts),
        paid_without_usage=sum(
            row["usage_source"] != UsageSource.REPORTED for call_id, row in by_id.items() if call_id in payments
        ),
        broken=[
            *_results_broken(books, succeeded, expected),
            *_attempts_broken(books, by_id, payments, len(paid)),
            *_usage_broken(by_id, payments),
            *_sums_broken(books),
        ],
    )


def _payments(by_id: Mapping[str, Row], paid: Sequence[Row]) -> dict[str, Row]:
    """One paid call for each attempt that has any; others are found by comparing numbers."""
    return {str(call["client_request_id"]): call for call in paid if call["client_request_id"] in by_id}


def _results_broken(books: Books, succeeded: Sequence[Row], expected: Mapping[str, str]) -> Iterable[str]:
    names = [row["custom_id"] for row in books.results]
    yield from _unless(not (missing := expected.keys() - set(names)), f"jobs without a result: {_some(missing)}")
    yield from _unless(
        len(names) == len(set(names)) == books.batch["total"],
        f"{len(names)} results of {len(set(names))} jobs for a batch of {books.batch['total']}",
    )
    yield from _unless(
        [row["seq"] for row in books.results] == list(range(1, len(names) + 1)), "the sequence of results has gaps"
    )
    wrong = [row["custom_id"] for row in succeeded if _text(row["body"]) != expected.get(row["custom_id"])]
    yield from _unless(not wrong, f"successes that are not the answer to their own prompt: {_some(wrong)}")
    yield from _unless(not books.due, f"{books.due} jobs are still to be fed again")


def _attempts_broken(books: Books, by_id: Mapping[str, Row], payments: Mapping[str, Row], paid: int) -> Iterable[str]:
    yield from _unless(len(by_id) == len(books.attempts), "two attempts have the same id")
    yield from _unless(
        len(payments) == paid, f"{paid - len(payments)} paid calls match no attempt, or one that has another already"
    )
    yield from _unless(
        not (still := [row for row in books.attempts if row["finished_at"] is None]), f"{len(still)} attempts are open"
    )
    refused = [c for c in payments if by_id[c]["state"] == AttemptState.REFUSED]
    yield from _unless(not refused, f"paid calls that we hold to be refused or never sent: {_some(refused)}")
    good: defaultdict[int, int] = defaultdict(int)
    for call_id, row in by_id.items():
        if row["state"] in (AttemptState.OK, AttemptState.DISCARDED):
            yield from _unless(call_id in payments, f"attempt {call_id} has an answer that nobody was paid for")
        good[row["position"]] += row["state"] == AttemptState.OK
    expected = Counter(row["position"] for row in books.results if row["state"] == ResultState.SUCCEEDED)
    yield from _unless(+Counter(good) == expected, "successes and attempts that are ok do not pair off")


def _usage_broken(by_id: Mapping[str, Row], payments: Mapping[str, Row]) -> Iterable[str]:
    for call_id, call in payments.items():
        row = by_id[call_id]
        if row["usage_source"] == UsageSource.REPORTED:
            same = all((row[ours] or 0) == call[theirs] for ours, theirs in _BUCKETS.items())
            yield from _unless(same, f"attempt {call_id} reports other usage than the provider charged")
        else:
            shown = row["state"] in _WITHOUT_USAGE and all(row[ours] is None for ours in _BUCKETS)
            yield from _unless(
                shown, f"attempt {call_id} ({row['state']}) was paid, and its usage is not shown as unknown"
            )


def _sums_broken(books: Books) -> Iterable[str]:
    for name in _SUMMED:
        total = sum(row[name] or 0 for row in books.attempts)
        yield from _unless(books.batch[name] == total, f"{name}: attempts {total}, batch {books.batch[name]}")
    reported = sum(row["state"] not in (AttemptState.UNKNOWN, AttemptState.OPEN) for row in books.attempts)
    yield from _unless(
        books.batch["attempts"] == reported,
        f"{reported} attempts have reported, the batch counts {books.batch['attempts']}",
    )


def sums_over_batches(every: Sequence[Books]) -> list[str]:
    """Compare the hourly sums with all batches of a database together; returns where they differ."""
    broken: list[str] = []
    for name in ("attempts", *_SUMMED):
        hourly = sum(row[name] for row in every[0].hourly)
        total = sum(books.batch[name] for books in every)
        broken += _unless(hourly == total, f"{name}: batches {total}, hours {hourly}")
    return broken


def _unless(holds: bool, otherwise: str) -> list[str]:
    return [] if holds else [otherwise]


def _some(names: Iterable[object]) -> str:
    every = sorted(map(str, names))
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more


def _text(body: bytes | None) -> str | None:
    """The text of a chat answer; `None` when it is none."""
    try:
        text: str = orjson.loads(body or b"")["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return None
    return text


async def _rows(database: Database, query: Any) -> list[Row]:
    return await database.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])

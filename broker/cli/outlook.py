"""What `penstock status` says of a batch: what happens, what it costs, when it ends, and why it waits."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import inf
from typing import Any

from broker.accounting.reports import plain
from broker.cli.crew import Crew, crew_json, crew_lines
from broker.cli.figures import compact, count, duration, money, percent, plural, rate
from broker.cli.options import DEFAULT_DATABASE, without_password
from broker.domain.batch import TERMINAL, Batch, BatchState
from broker.domain.form import BatchForm
from broker.domain.loss import OnLoss
from broker.store.standing import Played, Standing

STANDARD_INPUT = "standard input"
FEEDER_FRESH_S = 10.0
"""A feeder that was not seen for so long feeds nothing: another one would have taken over."""
_WAITS = {
    "rate_limited": "after being told to slow down",
    "ramp": "after being told to speed up more slowly",
    "overloaded": "as the provider was overloaded",
    "server_error": "after an error of the provider",
    "timeout": "after a timeout of the provider",
    "outage": "as the provider answered with errors only",
    "outcome_unknown": "after a call without an answer",
    "malformed_answer": "after an answer that was none",
    "connection": "as the provider could not be reached",
    "authentication": "as the key was refused",
    "permission": "as the key was refused",
    "spend": "as the credit was used up",
    "daily_quota": "as the day's quota was used up",
    "not_found": "as an account does not have the model",
    "too_large": "as an account does not take rows of this size",
    "untranslatable": "for an account whose protocol can express them",
    "not_here": "for an account that has not refused them",
    "next_part": "as they take several calls",
    "account blocked": "as their account was blocked",
    "lost": "as the process died",
    "aborted": "as the process was told to stop at once",
    "never_sent": "as the call was not sent",
    "paused": "as it was paused",
    "stopped": "as the run was stopped",
    "reconciled": "as they were in the queue when the last run ended",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A batch, and who works on it."""

    batch: Batch
    standing: Standing
    unknown: int
    """Calls that ended without an answer."""
    holder: str | None
    """The process that runs batches of this database."""
    database_url: str = DEFAULT_DATABASE
    feeder: Played | None = None
    """Of a fleet; `None`: there never was one."""
    crews: tuple[Crew, ...] = ()
    """The live worker processes."""
    unserved: tuple[str, ...] = ()
    """Routes of rows without a result that no live worker serves."""

    @property
    def fed(self) -> bool:
        """Whether a `penstock serve` feeds the batches of this database."""
        return self.feeder is not None and _or_never(self.feeder.seen_ago_s) < FEEDER_FRESH_S

    @property
    def ours(self) -> bool:
        """Whether it is a batch of `penstock run`, which no other process takes up; a fleet's has no output file."""
        return self.batch.output is not None

    @property
    def running(self) -> bool:
        works = self.fed or (self.holder is not None and self.ours)
        return works and self.batch.state in (BatchState.RUNNING, BatchState.CANCELLING)

    @property
    def eta_s(self) -> float | None:
        """Seconds until the last row, at the pace of late; `None` where nobody can tell."""
        counts, pace = self.batch.counts, self.standing.rows_per_s
        if not self.running or not pace:
            return None
        return (counts.total - counts.finished) / pace

    @property
    def expected_cost(self) -> Decimal | None:
        """Of the whole batch, if the rest is like what has been."""
        counts = self.batch.counts
        if not counts.finished or not counts.total:
            return None
        return self.batch.cost / counts.finished * counts.total


def _or_never(seen_ago_s: float | None) -> float:
    return inf if seen_ago_s is None else seen_ago_s


def outlook_lines(outlook: Outlook) -> Iterator[str]:
    """The lines, for people."""
    batch, counts = outlook.batch, outlook.batch.counts
    named = f" ({batch.name})" if batch.name else ""
    continues = f", rows of batch {batch.continues} again" if batch.continues else ""
    yield f"batch {batch.id}{named}: {batch.source}{continues}" + (f" → {batch.output}" if batch.output else "")
    yield f"state    {_happening(outlook)}{_open(batch)}"
    if batch.state is BatchState.RECEIVING:
        return
    if told := _told(batch):
        yield f"asked    {told}"
    yield f"rows     {_rows(outlook)}"
    tokens = f"{compact(batch.usage.input_tokens or 0)} tokens in, {compact(batch.usage.output_tokens or 0)} out"
    yield f"cost     {_cost(outlook)}, {tokens}"
    if batch.accepted_at is not None:
        yield f"began    {_clock(batch.accepted_at)}, {duration(outlook.standing.at - batch.accepted_at)} ago"
    if batch.state in TERMINAL:
        if batch.finished_at is not None and batch.accepted_at is not None:
            yield f"ended    {_clock(batch.finished_at)}, after {duration(batch.finished_at - batch.accepted_at)}"
    elif outlook.eta_s is not None:
        pace = f"{rate(outlook.standing.rows_per_s or 0)} rows/s"
        yield f"ends     in {duration(outlook.eta_s)}, at {_clock(outlook.standing.at + outlook.eta_s)} ({pace})"
    if batch.state not in TERMINAL:
        yield from crew_lines(outlook.crews)
        yield from _hindrances(outlook)
    yield from _waits(outlook)
    if outlook.unknown:
        yield f"unknown  {plural(outlook.unknown, 'call')} ended without an answer and may have been paid for"
    if counts.failed:
        yield f"failed   `penstock results {batch.id} --state failed` shows {'it' if counts.failed == 1 else 'them'}"


def outlook_json(outlook: Outlook) -> dict[str, Any]:
    """The same for programs; times in seconds since the epoch, money as a decimal in a string."""
    batch, stands = outlook.batch, outlook.standing
    return batch_json(batch) | {
        "in_flight": stands.in_flight,
        "unknown": outlook.unknown,
        "retrying": dict(stands.retrying),
        "rows_per_s": stands.rows_per_s if outlook.running else 0.0,
        "eta_s": outlook.eta_s,
        "expected_cost": None if outlook.expected_cost is None else plain(round(outlook.expected_cost, 10)),
        "held_by": outlook.holder,
        "fed": outlook.fed,
        "feeder_seen_ago_s": None if outlook.feeder is None else outlook.feeder.seen_ago_s,
        "workers": [crew_json(crew) for crew in outlook.crews],
        "unserved": list(outlook.unserved),
    }


def batch_json(batch: Batch) -> dict[str, Any]:
    """What the ledger says of a batch."""
    counts = batch.counts
    return {
        "batch": batch.id,
        "name": batch.name,
        "state": str(batch.state),
        "open": not batch.sealed,
        "continues": batch.continues,
        "source": batch.source,
        "output": batch.output,
        "tag": batch.tag,
        "dialect": str(batch.form),
        "on_loss": str(batch.on_loss),
        "use": batch.use,
        "total": counts.total,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "expired": counts.expired,
        "cost": plain(batch.cost),
        "unpriced": batch.unpriced,
        "input_tokens": batch.usage.input_tokens,
        "output_tokens": batch.usage.output_tokens,
        "accepted_at": batch.accepted_at,
        "finished_at": batch.finished_at,
    }


def _happening(outlook: Outlook) -> str:
    batch, holder = outlook.batch, outlook.holder
    if batch.state in _ANYWAY:
        return _ANYWAY[batch.state].format(id=batch.id)
    if outlook.fed and batch.state in _FED:
        return _FED[batch.state]
    if outlook.ours and holder is None and batch.state in _NOBODY:
        return _NOBODY[batch.state].format(id=batch.id, resume=resume_command(outlook))
    if not outlook.ours and batch.state in _UNFED:
        return _UNFED[batch.state].format(id=batch.id, seen=_seen(outlook.feeder))
    return _SOMEBODY.get(batch.state, str(batch.state)).format(holder=holder)


def _told(batch: Batch) -> str:
    """What was said of the batch that is not always so."""
    parts = []
    if batch.form is not BatchForm.OPENAI:
        parts.append(f"in the form of {batch.form}")
    if batch.on_loss is not OnLoss.FAIL:
        parts.append("without what an account's protocol cannot express")
    if batch.use is not None:
        parts.append(f"for {batch.use} use")
    return ", ".join(parts)


def _seen(feeder: Played | None) -> str:
    if feeder is None:
        return "none ever has"
    return (
        "the last has stopped" if feeder.seen_ago_s is None else f"the last was seen {duration(feeder.seen_ago_s)} ago"
    )


def _open(batch: Batch) -> str:
    return "" if batch.sealed or batch.state in TERMINAL else "; open, more rows may come until it is sealed"


_RESUME = "{resume} (add the options of the first run)"
_ANYWAY = {BatchState.PAUSED: "paused; let it go on with: penstock resume {id}"}
_NOBODY = {
    BatchState.RECEIVING: f"its input was not read to the end; go on there with: {_RESUME}",
    BatchState.RUNNING: f"nothing runs it; resume with: {_RESUME}",
    BatchState.CANCELLING: "its cancelling was not finished; do that with: penstock cancel {id}",
}
_SOMEBODY = {
    BatchState.RECEIVING: "its input is being read by {holder}",
    BatchState.RUNNING: "running, by {holder}",
    BatchState.CANCELLING: "being cancelled, by {holder}: calls in flight still report",
}
_FED = {
    BatchState.RUNNING: "running, by the fleet",
    BatchState.CANCELLING: "being cancelled, by the fleet: calls in flight still report",
}
_UNFED = {
    BatchState.RECEIVING: "its input is being read, or was not read to the end: the same command goes on there",
    BatchState.RUNNING: "waits: no `penstock serve` feeds it ({seen})",
    BatchState.CANCELLING: "being cancelled, but no `penstock serve` finishes that ({seen})",
}


def resume_command(outlook: Outlook) -> str:
    """The command that goes on with a batch, as far as the ledger knows it (and without a password)."""
    batch = outlook.batch
    words = ["penstock", "run", "-" if batch.source == STANDARD_INPUT else batch.source]
    if batch.output:
        words += ["--output", batch.output]
    if outlook.database_url != DEFAULT_DATABASE:
        words += ["--database", without_password(outlook.database_url)]
    return shlex.join(words)


def _rows(outlook: Outlook) -> str:
    counts = outlook.batch.counts
    done = percent(counts.finished / counts.total) if counts.total else "100 %"
    parts = [f"{count(counts.finished)} of {count(counts.total)} done ({done}): {count(counts.succeeded)} succeeded"]
    waiting = counts.total - counts.finished - outlook.standing.in_flight
    parts += [
        f"{count(number)} {word}"
        for number, word in (
            (counts.failed, "failed"),
            (counts.cancelled, "cancelled"),
            (counts.expired, "expired"),
            (outlook.standing.in_flight if outlook.running else 0, "in flight"),
            (waiting, "waiting"),
        )
        if number > 0
    ]
    return ", ".join(parts)


def _cost(outlook: Outlook) -> str:
    batch = outlook.batch
    text = money(batch.cost)
    if batch.unpriced:
        text += f" + {plural(batch.unpriced, 'call')} at unknown prices"
    if batch.state not in TERMINAL and outlook.expected_cost:
        text += f" so far, about {money(outlook.expected_cost)} in the end"
    return text


def _hindrances(outlook: Outlook) -> Iterator[str]:
    """Why a fleet gets no further with it."""
    if outlook.batch.state is not BatchState.RUNNING or not outlook.fed:
        return
    if not outlook.crews:
        yield "waits    for workers: none is alive; start `penstock fleet`, or `penstock worker --account NAME`"
    elif outlook.unserved:
        yield f"waits    for a worker that serves {', '.join(outlook.unserved)}: none that is alive does"
    elif all(crew.held_up for crew in outlook.crews):
        yield "waits    for the accounts: every worker is held up"


def _waits(outlook: Outlook) -> Iterator[str]:
    stands = outlook.standing
    if outlook.batch.state in TERMINAL or not stands.retrying:
        return
    for why, jobs in stands.retrying.items():
        yield f"waits    {plural(jobs, 'row')} for another try, {_WAITS.get(why.partition(':')[0], why)}"
    if stands.next_try_in_s is not None and stands.next_try_in_s > 0 and outlook.running:
        yield f"         the next in {duration(stands.next_try_in_s)}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")

"""Decides from what the processes of one account report whether there should be one more or one fewer.

More   the processes are the bottleneck: in each, all slots are taken or its CPU is busy, none waits for a limit, and
       jobs wait to be fed; for ten seconds.
Fewer  the account's limit is the bottleneck, or there is no work, and one process fewer would still have room to
       spare; for a minute.

One step at a time, and after each step the processes that are there then are looked at anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from broker.domain.account import Autoscale
from broker.domain.presence import Presence
from broker.limits.port import Resource

GROW_AFTER_S = 10.0
SHRINK_AFTER_S = 60.0
BUSY = 0.85
"""Share of a CPU from which a process is a bottleneck, whatever its slots."""
ROOM = 0.7
"""What the others may be filled to when one goes: well below what brings it back."""
_LIMITS = frozenset(Resource) | {"slots"}
_PAUSED = "paused"


class Step(IntEnum):
    """By how many processes the number changes."""

    FEWER = -1
    STAY = 0
    MORE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Since when it has looked as if another number were right; in seconds of the clock that `decide` is given."""

    short_since: float | None = None
    idle_since: float | None = None


def decide(
    trend: Trend, bounds: Autoscale, processes: int, reports: Sequence[Presence], *, work_waits: bool, now: float
) -> tuple[Step, Trend]:
    """Look at `processes` running processes; returns what to do, and what to remember for the next look.

    While not all of them report, nothing is known and nothing is done.
    """
    if processes < bounds.min:
        return Step.MORE, Trend()
    if processes > bounds.max:
        return Step.FEWER, Trend()
    if len(reports) < processes or not all(map(_reports, reports)):
        return Step.STAY, Trend()
    short = work_waits and all(map(_full, reports)) and not any(map(_limited, reports))
    idle = (any(map(_limited, reports)) or not work_waits) and _could_do_with(processes - 1, reports)
    trend = Trend(short_since=_since(trend.short_since, short, now), idle_since=_since(trend.idle_since, idle, now))
    if _for_long(trend.short_since, GROW_AFTER_S, now) and processes < bounds.max:
        return Step.MORE, Trend()
    if _for_long(trend.idle_since, SHRINK_AFTER_S, now) and processes > bounds.min:
        return Step.FEWER, Trend()
    return Step.STAY, trend


def _reports(report: Presence) -> bool:
    """Whether it has told how it stands: not before its first life sign."""
    return report.slots is not None and report.busy is not None


def _full(report: Presence) -> bool:
    return report.in_flight >= (report.slots or 0) or (report.busy or 0.0) > BUSY


def _limited(report: Presence) -> bool:
    waits_for = report.waits_for or ""
    return waits_for in _LIMITS or waits_for.startswith(_PAUSED)


def _could_do_with(processes: int, reports: Sequence[Presence]) -> bool:
    """Whether so many processes would carry what these do, with room to spare."""
    share = processes / len(reports)
    slots = sum(report.slots or 0 for report in reports) * share
    busy = sum(report.busy or 0.0 for report in reports)
    return sum(report.in_flight for report in reports) <= ROOM * slots and busy <= ROOM * processes


def _since(since: float | None, holds: bool, now: float) -> float | None:
    if not holds:
        return None
    return now if since is None else since


def _for_long(since: float | None, seconds: float, now: float) -> bool:
    return since is not None and now - since >= seconds

"""Who works for a fleet: its live worker processes by account, and what they wait for."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from broker.cli.figures import count, plural
from broker.cli.reasons import wait_in_words
from broker.domain.presence import Presence


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The live processes of one account."""

    account: str
    processes: Sequence[Presence]

    @property
    def in_flight(self) -> int:
        return sum(process.in_flight for process in self.processes)

    @property
    def slots(self) -> int | None:
        """Calls that they may have in flight together; `None` where one has not said so yet."""
        slots = [process.slots for process in self.processes]
        return None if None in slots else sum(number for number in slots if number is not None)

    @property
    def held_up(self) -> bool:
        """None of them can start a call."""
        return all(process.waits_for for process in self.processes)

    @property
    def waits(self) -> Counter[str]:
        """What they wait for, and how many of them do."""
        return Counter(process.waits_for for process in self.processes if process.waits_for)


def crews(present: Sequence[Presence]) -> tuple[Crew, ...]:
    """Put the live processes together by account."""
    ordered = sorted(present, key=lambda process: process.account)
    grouped = groupby(ordered, key=lambda process: process.account)
    return tuple(Crew(account=account, processes=tuple(processes)) for account, processes in grouped)


def crew_lines(found: Sequence[Crew]) -> Iterator[str]:
    """A line for each account, for people."""
    for crew in found:
        slots = "" if crew.slots is None else f" of {count(crew.slots)}"
        words = f"{plural(len(crew.processes), 'process', 'processes')}, {count(crew.in_flight)}{slots} calls in flight"
        waits = [_waiting(crew, waits_for, number) for waits_for, number in crew.waits.most_common()]
        yield f"works    {crew.account}: {', '.join([words, *waits])}"


def crew_json(crew: Crew) -> dict[str, Any]:
    """The same for programs."""
    return {
        "account": crew.account,
        "processes": len(crew.processes),
        "in_flight": crew.in_flight,
        "slots": crew.slots,
        "waits_for": dict(crew.waits),
    }


def _waiting(crew: Crew, waits_for: str, number: int) -> str:
    words = wait_in_words(waits_for)
    return words if number == len(crew.processes) else f"{count(number)} of them: {words}"

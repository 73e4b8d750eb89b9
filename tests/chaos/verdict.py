"""What is said of a scenario at its end: one line of figures, and every promise that was broken, in words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from broker.domain.result import ResultState
from broker.testing.judge import Books, Judgement, Row, judge, sums_over_batches

_COLUMNS = (
    *("attempted", "accepted", "results", "distinct", "lost", "duplicated"),
    *("paid", "extra", "unknown", "bound"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All promises were kept when `broken` is empty."""

    scenario: str
    faults: int
    attempted: int
    """Jobs that were submitted."""
    accepted: int
    results: int
    distinct: int
    """Jobs that have a result."""
    lost: int
    """Jobs that have none."""
    duplicated: int
    """Results beyond the first of each job."""
    paid: int
    """Calls in the provider's own ledger."""
    extra: int
    """Paid calls beyond the first of each job."""
    unknown: int
    """Attempts whose outcome nobody knows."""
    bound: int
    """What `extra` may be."""
    seconds: float
    figures: Mapping[str, float]
    """What else was measured, in seconds."""
    broken: Sequence[str]

    @property
    def kept(self) -> bool:
        return not self.broken

    def line(self) -> str:
        """Give the row of a table under `header`."""
        figures = " ".join(f"{getattr(self, name):>10,}" for name in _COLUMNS)
        told = ", ".join(f"{name} {value:.1f} s" for name, value in self.figures.items())
        said = "kept" if self.kept else "BROKEN"
        return f"{self.scenario:<26} {self.faults:>6} {figures} {self.seconds:>8.1f}  {said:<7} {told}".rstrip()

    def as_json(self) -> dict[str, object]:
        """For the last line of a benchmark."""
        return {name: getattr(self, name) for name in self.__slots__}


def header() -> str:
    """Name the columns of `Verdict.line`."""
    figures = " ".join(f"{name:>10}" for name in _COLUMNS)
    return f"{'scenario':<26} {'faults':>6} {figures} {'seconds':>8}  verdict"


def judged(
    books: Books,
    paid: Sequence[Row],
    expected: Mapping[str, str],
    *,
    scenario: str,
    faults: int,
    bound: int,
    seconds: float,
    figures: Mapping[str, float],
    broken: Sequence[str],
) -> Verdict:
    """Compare our books with the provider's; `broken` is what the scenario itself has found."""
    judgement = judge(books, paid, expected)
    positions = Counter(row["position"] for row in books.results)
    return Verdict(
        scenario=scenario,
        faults=faults,
        attempted=len(expected),
        accepted=int(books.batch["total"]),
        results=len(books.results),
        distinct=len(positions),
        lost=len(expected) - len(positions),
        duplicated=len(books.results) - len(positions),
        paid=judgement.paid,
        extra=judgement.extra,
        unknown=judgement.unknown,
        bound=bound,
        seconds=round(seconds, 1),
        figures=dict(figures),
        broken=[*broken, *_broken(judgement, books, bound)],
    )


def _broken(judgement: Judgement, books: Books, bound: int) -> Iterator[str]:
    yield from judgement.broken
    yield from sums_over_batches([books])
    if judgement.succeeded != judgement.jobs:
        failed = [row for row in books.results if row["state"] != ResultState.SUCCEEDED]
        why = dict(Counter(str(row["error_code"]) for row in failed))
        yield f"{judgement.succeeded} of {judgement.jobs} jobs succeeded; failed: {why or 'none'}"
    if judgement.extra > bound:
        yield f"{judgement.extra} extra paid calls, at most {bound} are allowed"
    if judgement.extra > judgement.unknown:
        yield f"{judgement.extra} extra paid calls, and only {judgement.unknown} attempts say that they are unknown"

"""What is wrong with rows of a batch file, and how that is told to people."""

from dataclasses import dataclass, field
from enum import StrEnum

from broker.errors import CallerError


class Unit(StrEnum):
    """What rows are counted by, for people."""

    LINE = "line"
    REQUEST = "request"
    """Of one JSON object that holds them all."""

    def at(self, number: int) -> str:
        """Say where something is: on that line, or in that request."""
        return f"on line {number}" if self is Unit.LINE else f"in request {number}"


class ProblemCode(StrEnum):
    """What is wrong with a row; stable, also the error code of its failed result."""

    LINE_TOO_LONG = "line_too_long"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    OTHER_FORM = "other_form"
    UNKNOWN_URL = "unknown_url"
    STREAM_REFUSED = "stream_refused"
    UNKNOWN_MODEL = "unknown_model"
    DUPLICATE_CUSTOM_ID = "duplicate_custom_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The first thing that is wrong with one row."""

    line: int
    """In the file, counted from 1, blank lines included; or the number of the request, where `unit` says so."""
    position: int
    """Of the row in the batch, counted from 0, blank lines left out and bad rows included."""
    code: ProblemCode
    message: str
    """For people; safe to print."""
    custom_id: str | None = None
    """The row's own, when it can be read and is a usable one."""
    model: str | None = None
    """Of an unknown model: the model. Such problems are told once per model."""
    unit: Unit = Unit.LINE

    def __str__(self) -> str:
        return f"{self.unit} {self.line}: {self.message}"


class RowRefused(CallerError):
    """One row cannot be accepted; becomes a `Problem` where line and position are known."""

    code: ProblemCode

    def __init__(self, code: ProblemCode, message: str, *, model: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.model = model


@dataclass(slots=True)
class _Told:
    problem: Problem
    lines: int = 1


@dataclass(slots=True, kw_only=True)
class ProblemReport:
    """Keeps the problems worth showing, those with the lowest line numbers, and counts the rest."""

    limit: int = 100
    total: int = 0
    """Bad rows, shown or not."""
    _told: list[_Told] = field(default_factory=list)
    _by_model: dict[str, _Told] = field(default_factory=dict)

    def add(self, problem: Problem) -> None:
        """Take one more; memory stays bounded by `limit`."""
        self.total += 1
        if problem.model is not None:
            known = self._by_model.get(problem.model)
            if known is not None:
                known.lines += 1
                return
        told = _Told(problem)
        self._told.append(told)
        if problem.model is not None:
            self._by_model[problem.model] = told
        if len(self._told) >= 2 * self.limit:
            self._forget_the_highest()

    def lines(self) -> list[str]:
        """One line per problem, by line number, and one that counts what is not shown."""
        self._forget_the_highest()
        shown_lines = [_printed(told) for told in self._told]
        unseen = self.total - sum(told.lines for told in self._told)
        if unseen:
            shown_lines.append(f"and {unseen} more {'row' if unseen == 1 else 'rows'} with problems")
        return shown_lines

    def _forget_the_highest(self) -> None:
        self._told.sort(key=lambda told: told.problem.line)
        for told in self._told[self.limit :]:
            if told.problem.model is not None:
                del self._by_model[told.problem.model]
        del self._told[self.limit :]


def shown(text: str, limit: int = 64) -> str:
    """The text in quotes, cut to `limit` characters, with all that a terminal might act on escaped."""
    characters = (
        f"\\{character}" if character in '"\\'
        else character if character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text[:limit]
    )  # fmt: skip
    return f'"{"".join(characters)}{"…" if len(text) > limit else ""}"'


def _printed(told: _Told) -> str:
    more = told.lines - 1
    if not more:
        return str(told.problem)
    unit = told.problem.unit
    return f"{told.problem} (and {'on' if unit is Unit.LINE else 'in'} {more} more {unit}{'' if more == 1 else 's'})"

"""The live view as lines of text: what is in it, apart from how a terminal shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.cli.figures import compact, count, duration, money, percent, rate, shortened
from broker.cli.reasons import state_in_words
from broker.progress import AccountProgress, Progress

_LONGEST_NAME = 24
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Piece:
    """Text in one style."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


def frame(progress: Progress, *, width: int, height: int) -> list[Line]:
    """The lines of the view; none is wider than `width`, and there are no more than `height` of them."""
    lines = [_title(progress, width), _bar(progress, width), _rows(progress), _pace(progress)]
    if progress.trouble:
        lines.append((Piece(f"the database does not answer: {progress.trouble}", "yellow"),))
    lines.append(())
    room = max(1, height - len(lines) - 1)
    lines += _accounts(progress.accounts, width, room)
    return [_cut(line, width) for line in lines[:height]]


def reading(source: str, rows: int, *, width: int) -> Line:
    """The line while the input is read."""
    return _cut((Piece(f"reading {source}: "), Piece(count(rows), "bold"), Piece(" rows")), width)


def _title(progress: Progress, width: int) -> Line:
    batch = progress.batch
    state = "stopping, Ctrl-C again aborts" if progress.stopping else batch.state
    right = f"{state}  {duration(progress.elapsed_s)}"
    left = shortened(f"batch {batch.id}: {Path(batch.source).name}", max(8, width - len(right) - 2))
    gap = " " * max(2, width - len(left) - len(right))
    return Piece(left, "bold"), Piece(gap), Piece(right, "yellow" if progress.stopping else "")


def _bar(progress: Progress, width: int) -> Line:
    counts = progress.batch.counts
    share = counts.finished / counts.total if counts.total else 1.0
    label = f"  {percent(share)}  {count(counts.finished)} of {count(counts.total)} rows"
    cells = max(4, width - len(label))
    good = round(cells * (counts.succeeded / counts.total)) if counts.total else cells
    bad = round(cells * share) - good
    return (
        Piece("━" * good, "green"),
        Piece("━" * max(0, bad), "red"),
        Piece("─" * max(0, cells - good - max(0, bad)), "dim"),
        Piece(label),
    )


def _rows(progress: Progress) -> Line:
    counts = progress.batch.counts
    pieces = [Piece(f"{count(counts.succeeded)} succeeded", "green")]
    for number, word in ((counts.failed, "failed"), (counts.cancelled, "cancelled"), (counts.expired, "expired")):
        if number or word == "failed":
            pieces += [Piece("  "), Piece(f"{count(number)} {word}", "red" if number else "")]
    pieces.append(Piece(f"  {count(progress.in_flight)} in flight  {count(progress.waiting)} waiting"))
    return tuple(pieces)


def _pace(progress: Progress) -> Line:
    unpriced = f" + {count(progress.batch.unpriced)} calls unpriced" if progress.batch.unpriced else ""
    left = "no end in sight yet" if progress.eta_s is None else f"{duration(progress.eta_s)} left"
    return (
        Piece(f"{rate(progress.rows_per_s)} rows/s  {compact(progress.tokens_per_s)} tokens/s  "),
        Piece(f"{money(progress.batch.cost)} so far{unpriced}  "),
        Piece(left, "bold"),
    )


def _accounts(accounts: Sequence[AccountProgress], width: int, room: int) -> list[Line]:
    name_width = min(_LONGEST_NAME, max((len(account.name) for account in accounts), default=0))
    slots_width = max((len(_slots(account)) for account in accounts), default=0)
    limits_width = max((len(_limits(account)) for account in accounts), default=0)
    lines: list[Line] = []
    for shown, account in enumerate(accounts):
        lines_of_it = _account(account, width, name_width, slots_width, limits_width)
        more = len(accounts) - shown
        if len(lines) + len(lines_of_it) > room - (1 if more > 1 else 0):
            lines.append((Piece(f"and {more} more accounts", "dim"),))
            break
        lines += lines_of_it
    return lines


def _account(account: AccountProgress, width: int, name: int, slots: int, limits: int) -> list[Line]:
    """One line; two where the reason has no room in one."""
    head = f"{shortened(account.name, name):<{name}}  {_slots(account):>{slots}}  {_limits(account):<{limits}}"
    why = state_in_words(account)
    style = {"active": "", "paused": "yellow"}.get(account.state, "red")
    if len(head) + 2 + len(why) <= width:
        return [(Piece(head + "  "), Piece(why, style))]
    return [(Piece(head),), (Piece(_INDENT), Piece(shortened(why, width - len(_INDENT)), style))]


def _slots(account: AccountProgress) -> str:
    return f"{account.in_flight}/{account.slots} in flight"


def _limits(account: AccountProgress) -> str:
    if not account.limits:
        return "no limits declared"
    return "  ".join(f"{use.resource.replace('_', ' ')} {percent(use.share)}" for use in account.limits)


def _cut(line: Line, width: int) -> Line:
    """What fits into the width."""
    pieces: list[Piece] = []
    left = width
    for piece in line:
        if len(piece.text) > left:
            if left > 0:
                pieces.append(Piece(piece.text[: left - 1] + "…", piece.style))
            break
        pieces.append(piece)
        left -= len(piece.text)
    return tuple(pieces)

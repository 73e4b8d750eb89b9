"""The simulator's own ledger: one row per call that it was paid for, from the moment generation began.

Kept in columns, because a million rows as objects would take several times the memory.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan, nan

RUNNING = "running"


def request_id(number: int) -> str:
    """Return what `x-request-id` says of the request with this number."""
    return f"req_{number:032x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What is known of a paid call when its generation begins."""

    request: int
    """The number of the request at this server, counted from 1."""
    client_request_id: str | None
    """What came as `X-Client-Request-Id`."""
    key: str
    path: str
    model: str
    prompt_digest: bytes
    """Eight bytes."""
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    started_at: float
    """Seconds since the simulator's start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidCall:
    """A row of the ledger."""

    n: int
    """Counted from 0."""
    request_id: str
    client_request_id: str | None
    key: str
    path: str
    model: str
    prompt_digest: str
    """In hexadecimal."""
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    started_at: float
    finished_at: float | None
    outcome: str
    """`running`, `complete`, `cut_body`, `aborted` (the client went), `stopped`, or the fault that spoilt it."""


class Ledger:
    """Rows in the order in which generation began; grows by about 200 bytes a row."""

    def __init__(self) -> None:
        self._ids: list[str | None] = []
        self._names: dict[str, int] = {}
        self._texts: list[str] = []
        # Key, path, model and outcome are indices into the few texts there are.
        self._labels = array("I")
        self._tokens = array("Q")
        self._times = array("d")
        self._digests = bytearray()
        self._requests = array("Q")

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[PaidCall]:
        return self.rows()

    def begin(self, call: Begun) -> int:
        """Add a running call; returns its row number."""
        self._labels.extend(
            (self._name(call.key), self._name(call.path), self._name(call.model), self._name(RUNNING)),
        )
        self._tokens.extend((call.input_tokens, call.cached_tokens, call.output_tokens, call.reasoning_tokens))
        self._times.extend((call.started_at, nan))
        self._digests += call.prompt_digest
        self._requests.append(call.request)
        self._ids.append(call.client_request_id)
        return len(self._ids) - 1

    def finish(self, n: int, outcome: str, at: float) -> None:
        """End the call in row `n`."""
        self._labels[4 * n + 3] = self._name(outcome)
        self._times[2 * n + 1] = at

    def row(self, n: int) -> PaidCall:
        """Return the row as it stands now; raises `IndexError`."""
        key, path, model, outcome = (self._texts[index] for index in self._labels[4 * n : 4 * n + 4])
        tokens = self._tokens[4 * n : 4 * n + 4]
        finished_at = self._times[2 * n + 1]
        return PaidCall(
            n=n,
            request_id=request_id(self._requests[n]),
            client_request_id=self._ids[n],
            key=key,
            path=path,
            model=model,
            prompt_digest=self._digests[8 * n : 8 * n + 8].hex(),
            input_tokens=tokens[0],
            cached_tokens=tokens[1],
            output_tokens=tokens[2],
            reasoning_tokens=tokens[3],
            started_at=self._times[2 * n],
            finished_at=None if isnan(finished_at) else finished_at,
            outcome=outcome,
        )

    def rows(self, since: int = 0) -> Iterator[PaidCall]:
        """Rows from number `since` to the newest at the time of asking."""
        return (self.row(n) for n in range(max(0, since), len(self)))

    def _name(self, text: str) -> int:
        index = self._names.get(text)
        if index is None:
            index = self._names[text] = len(self._texts)
            self._texts.append(text)
        return index

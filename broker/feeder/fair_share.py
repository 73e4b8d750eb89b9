"""Which batch of a route is fed next: start-time fair queueing over batches, pure and without a clock.

Each batch has a virtual time, in seconds of the pool per unit of weight. The batch with the smallest one goes
next, and pays for what it feeds:

    add     start at max(its own, the smallest active)      absence earns no credit
    pick    the smallest virtual time, the older on a tie
    charge  virtual time += cost / weight                   as estimated, when fed
    settle  virtual time += (actual - estimated) / weight   at the weight that was charged

A batch that was never seen before starts one usual charge later than that. Otherwise an endless row of tiny
batches, each gone before its own charge could count against it, would hold the smallest virtual time for ever,
and no other batch would be picked again.

Two batches that both have work the whole time get service in proportion to their weights, to within one job of
each. A small batch starts with a higher weight, so that it is back quickly; `StartBonus` says what that leaves
to the others.
"""

import heapq
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StartBonus:
    """How much faster small batches start.

    However many they are, the bonus never takes the other batches together below `floor` of the pool; where their
    plain weighted share is already below that, there is no bonus at all. So splitting a big batch into many small
    ones gains nothing by it.
    """

    factor: float = 4.0
    """The weight of a small batch is multiplied by up to this."""
    jobs: int = 500
    """A batch of at most so many jobs is small; the bonus is for each of its jobs once, not for retries."""
    floor: float = 0.2

    def __post_init__(self) -> None:
        if not (1.0 <= self.factor < math.inf and self.jobs >= 0 and 0.0 < self.floor < 1.0):
            raise ValueError(f"not a start bonus: {self}")


NO_BONUS = StartBonus(factor=1.0, jobs=0)
_MEMORY = 0.99
"""How much the usual charge keeps of the past with each new charge: about a hundred charges count."""


@dataclass(slots=True, kw_only=True)
class _Share:
    """What is known of one batch."""

    order: int
    """Place among all batches ever added; the older one wins a tie."""
    weight: float
    virtual_time: float
    bonus_jobs: int
    """Jobs that are still to be fed with the start bonus."""
    price: float
    """Virtual time per second of cost, averaged over `open_cost`."""
    active: bool = False
    open_cost: float = 0.0
    """Charged and not settled yet, in seconds of the pool."""


class FairShare:
    """The batches of one route and their turns; `pick`, `charge` and `settle` are O(log n).

    The caller says which batches have work (`add`, `remove`) and when one is finished (`forget`).
    """

    __slots__ = (
        "_active",
        "_added",
        "_bonus",
        "_charged",
        "_charged_squares",
        "_heap",
        "_idle_time",
        "_plain_weight",
        "_shares",
        "_starting_weight",
    )

    def __init__(self, bonus: StartBonus | None = None) -> None:
        self._bonus = StartBonus() if bonus is None else bonus
        self._shares: dict[int, _Share] = {}
        self._heap: list[tuple[float, int, int]] = []
        """(virtual time, order, batch); stale where time and order are no longer the batch's."""
        self._active = 0
        self._added = 0
        self._starting_weight = 0.0
        self._plain_weight = 0.0
        self._idle_time = 0.0
        """Where a batch starts when no other is active: where the last ones stopped."""
        self._charged = 0.0
        self._charged_squares = 0.0

    def __len__(self) -> int:
        """How many batches have work."""
        return self._active

    def __contains__(self, batch_id: int) -> bool:
        """Whether the batch has work."""
        share = self._shares.get(batch_id)
        return share is not None and share.active

    def virtual_time(self, batch_id: int) -> float:
        """Return what the batch has paid so far, in seconds of the pool per weight; raises `KeyError` if unknown."""
        return self._shares[batch_id].virtual_time

    def add(self, batch_id: int, *, weight: float = 1.0, jobs: int | None = None) -> None:
        """Take note that the batch has work, new or again; if it had already, only the weight changes.

        `jobs` is the size of the whole batch, which decides the start bonus when it is first added; `None` while
        it is not known. Raises `ValueError` for a weight that is not positive and finite.
        """
        if not 0.0 < weight < math.inf:
            raise ValueError(f"the weight of batch {batch_id} must be positive and finite, not {weight}")
        share = self._shares.get(batch_id)
        is_new = share is None
        if share is None:
            share = self._shares[batch_id] = self._first_seen(weight, jobs)
        if share.active:
            self._weigh(share, -1)
            share.weight = weight
            self._weigh(share, 1)
            return
        share.weight = weight
        self._weigh(share, 1)
        start = self._idle_time
        if (head := self._head()) is not None:
            start = head[0] + (self._usual_charge() / (weight * self._factor(share)) if is_new else 0.0)
        share.virtual_time = max(share.virtual_time, start)
        share.active = True
        self._active += 1
        self._push(batch_id, share)

    def remove(self, batch_id: int) -> None:
        """Leave the batch out while it has nothing to feed; what it has paid is kept. Unknown ones are ignored."""
        share = self._shares.get(batch_id)
        if share is None or not share.active:
            return
        share.active = False
        self._active -= 1
        self._weigh(share, -1)
        if not self._active:
            self._idle_time = max(self._idle_time, share.virtual_time)
            self._starting_weight = self._plain_weight = 0.0  # sheds what rounding has left
            self._heap.clear()

    def forget(self, batch_id: int) -> None:
        """Drop a batch that is finished and will not come back."""
        self.remove(batch_id)
        self._shares.pop(batch_id, None)

    def pick(self) -> int | None:
        """Return the batch to feed next, `None` when none has work; the same one until something changes."""
        head = self._head()
        return None if head is None else head[2]

    def charge(self, batch_id: int, cost_s: float, *, jobs: int = 1) -> None:
        """Let the batch pay for `jobs` jobs it has fed, which take `cost_s` seconds of the pool together.

        Raises `KeyError` for an unknown batch, `ValueError` for a cost that is negative or not finite.
        """
        _check_cost(cost_s)
        share = self._shares[batch_id]
        spent = cost_s / (share.weight * self._factor(share))
        self._charged = self._charged * _MEMORY + cost_s
        self._charged_squares = self._charged_squares * _MEMORY + cost_s * cost_s
        if cost_s > 0.0:
            share.price = (share.price * share.open_cost + spent) / (share.open_cost + cost_s)
            share.open_cost += cost_s
        if share.bonus_jobs and share.bonus_jobs <= jobs:
            self._end_bonus(share)
        else:
            share.bonus_jobs = max(0, share.bonus_jobs - jobs)
        self._move(batch_id, share, spent)

    def settle(self, batch_id: int, *, estimated: float, actual: float) -> None:
        """Correct a job charged as `estimated` that took `actual` seconds of the pool; unknown batches are ignored.

        The difference counts at the average price of what the batch has open, so what a start bonus made cheap
        is given back just as cheaply. Raises `ValueError` for a cost that is negative or not finite.
        """
        _check_cost(estimated)
        _check_cost(actual)
        share = self._shares.get(batch_id)
        if share is None:
            return
        closed = min(estimated, share.open_cost)
        share.open_cost -= closed
        # No more is given back than was charged: an estimate that never was charged earns nothing.
        self._move(batch_id, share, max(actual - estimated, -closed) * share.price)

    def _first_seen(self, weight: float, jobs: int | None) -> _Share:
        self._added += 1
        small = jobs is not None and jobs <= self._bonus.jobs
        bonus_jobs = jobs if small and jobs else 0
        return _Share(order=self._added, weight=weight, virtual_time=0.0, bonus_jobs=bonus_jobs, price=1.0 / weight)

    def _usual_charge(self) -> float:
        """Return the mean of recent charges weighted by cost: what a look at a random moment finds being served."""
        return self._charged_squares / self._charged if self._charged > 0.0 else 0.0

    def _factor(self, share: _Share) -> float:
        """Return what the weight is multiplied by: more than 1 only while the batch has its start bonus."""
        if not share.bonus_jobs:
            return 1.0
        starting = max(self._starting_weight, share.weight)
        most = self._plain_weight * (1.0 - self._bonus.floor) / (self._bonus.floor * starting)
        return max(1.0, min(self._bonus.factor, most))

    def _end_bonus(self, share: _Share) -> None:
        if share.active:
            self._weigh(share, -1)
        share.bonus_jobs = 0
        if share.active:
            self._weigh(share, 1)

    def _weigh(self, share: _Share, sign: int) -> None:
        if share.bonus_jobs:
            self._starting_weight += sign * share.weight
        else:
            self._plain_weight += sign * share.weight

    def _move(self, batch_id: int, share: _Share, by: float) -> None:
        share.virtual_time += by
        if share.active and by:
            self._push(batch_id, share)

    def _push(self, batch_id: int, share: _Share) -> None:
        heapq.heappush(self._heap, (share.virtual_time, share.order, batch_id))
        if len(self._heap) > 64 + 4 * self._active:  # mostly stale: rebuilding costs less than it saves
            self._heap = [(s.virtual_time, s.order, b) for b, s in self._shares.items() if s.active]
            heapq.heapify(self._heap)

    def _head(self) -> tuple[float, int, int] | None:
        while self._heap:
            head = self._heap[0]
            share = self._shares.get(head[2])
            if share is not None and share.active and (share.virtual_time, share.order) == head[:2]:
                return head
            heapq.heappop(self._heap)
        return None


def _check_cost(cost_s: float) -> None:
    if not 0.0 <= cost_s < math.inf:
        raise ValueError(f"a cost must be zero or more, and finite, not {cost_s}")

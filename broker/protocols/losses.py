"""Collects what a translation loses, and refuses it where that matters."""

from collections.abc import Sequence
from typing import assert_never

from broker.domain.dialect import Dialect
from broker.domain.loss import Loss, LossClass, OnLoss
from broker.errors import CallerError
from broker.protocols.canonical.request import Unmapped


class UntranslatableRequest(CallerError):
    """A request that the target cannot express, or that is none in its own dialect; nothing was sent."""

    code = "untranslatable"

    def __init__(self, target: str, losses: Sequence[Loss]) -> None:
        """Take what stands in the way, the first thing first."""
        first = losses[0]
        more = f" (and {len(losses) - 1} more)" if len(losses) > 1 else ""
        super().__init__(f"{first.path or '/'}: {first.detail}; target {target}{more}")
        self.target = target
        self.losses = tuple(losses)
        self.pointer = first.path
        """JSON pointer of the first of them."""


class MalformedRequest(CallerError):
    """A body that is no request of its own dialect; `pointer` says where."""

    code = "malformed_request"

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(f"{pointer or '/'}: {why}")
        self.pointer = pointer
        self.why = why


class Losses:
    """Notes losses while a request is written. What is refused is told all at once, by `settle`.

    So a codec that meets something it cannot say notes it, leaves it out, and goes on.
    """

    __slots__ = ("_drops", "_refused", "noted", "target")

    def __init__(self, target: Dialect, on_loss: OnLoss) -> None:
        self.target = target
        self._drops = on_loss is OnLoss.DROP
        self.noted: list[Loss] = []
        self._refused: list[Loss] = []

    def hint(self, path: str, code: str, detail: str) -> None:
        """Note something that may always be left out."""
        self.noted.append(Loss(code=code, path=path, detail=detail, loss_class=LossClass.HINT))

    def converted(self, path: str, code: str, detail: str) -> None:
        """Note something that is said in other words."""
        self.noted.append(Loss(code=code, path=path, detail=detail, loss_class=LossClass.SEMANTIC))

    def sampling(self, path: str, code: str, detail: str) -> None:
        """Leave out or clamp what changes how the answer is made, if the batch says so."""
        self._may_drop(Loss(code=code, path=path, detail=detail, loss_class=LossClass.SAMPLING))

    def content(self, path: str, code: str, detail: str, *, droppable: bool = False) -> None:
        """Refuse a part of the question; a `droppable` one is left out if the batch says so."""
        loss = Loss(code=code, path=path, detail=detail, loss_class=LossClass.CONTENT)
        if droppable:
            self._may_drop(loss)
        else:
            self._refused.append(loss)

    def unmapped(self, lost: Unmapped) -> None:
        """Note something that no target can be told."""
        match lost.loss_class:
            case LossClass.HINT:
                self.hint(lost.path, lost.code, lost.detail)
            case LossClass.SAMPLING:
                self.sampling(lost.path, lost.code, lost.detail)
            case LossClass.SEMANTIC:
                self.converted(lost.path, lost.code, lost.detail)
            case LossClass.CONTENT:
                self.content(lost.path, lost.code, lost.detail, droppable=lost.droppable)
            case _:
                assert_never(lost.loss_class)

    def settle(self) -> tuple[Loss, ...]:
        """Give what was lost or converted; raises `UntranslatableRequest` with all that may not be lost."""
        if self._refused:
            raise UntranslatableRequest(self.target, self._refused)
        return tuple(self.noted)

    def _may_drop(self, loss: Loss) -> None:
        (self.noted if self._drops else self._refused).append(loss)

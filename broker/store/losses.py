"""How the warnings of a result are written: a JSON list of `{"code", "path", "detail", "class"}`."""

from collections.abc import Sequence

import orjson

from broker.domain.loss import Loss, LossClass


def packed(warnings: Sequence[Loss]) -> str | None:
    """The text that is stored, of characters that every database holds; `None` where nothing was lost."""
    if not warnings:
        return None
    said = [
        {"code": loss.code, "path": _plain(loss.path), "detail": _plain(loss.detail), "class": loss.loss_class}
        for loss in warnings
    ]
    return orjson.dumps(said).decode()


def unpacked(text: str | None) -> tuple[Loss, ...]:
    """The inverse of `packed`."""
    if text is None:
        return ()
    return tuple(
        Loss(code=said["code"], path=said["path"], detail=said["detail"], loss_class=LossClass(said["class"]))
        for said in orjson.loads(text)
    )


def _plain(said: str) -> str:
    """A path names keys of the producer's, which may hold half surrogates."""
    return said if said.isascii() else said.encode("utf-8", "replace").decode()

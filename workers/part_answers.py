"""How an answer is kept that is one of several: what its producer would have got, and what was lost in asking for it.

{"warnings": "[…]", "answer": {…}}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import orjson

from broker.domain.loss import Loss
from broker.protocols.codec import Json
from broker.protocols.exact_json import answered
from broker.store.losses import packed, unpacked


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAnswer:
    """One answer of several."""

    answer: Json
    """In the producer's dialect."""
    warnings: tuple[Loss, ...]
    """Of the account that was asked for it; the next may be another one."""


def kept(answer: bytes, warnings: Sequence[Loss]) -> bytes:
    """Put an answer and its warnings into one body."""
    return b'{"warnings":%b,"answer":%b}' % (orjson.dumps(packed(warnings)), answer)


def read(body: bytes) -> PartAnswer:
    """The inverse of `kept`."""
    value = cast("dict[str, object]", answered(body))
    return PartAnswer(answer=cast("Json", value["answer"]), warnings=unpacked(cast("str | None", value["warnings"])))

"""Cache marks: Anthropic takes four in a request."""

from broker.domain.caps import Caps
from broker.protocols.losses import Losses

MOST_MARKS = 4
_TIMES = frozenset({"5m", "1h"})


class CacheMarks:
    """Puts marks on blocks, in the order in which a prompt is read: tools, operator, conversation."""

    __slots__ = ("_left", "_losses")

    def __init__(self, caps: Caps, losses: Losses) -> None:
        self._left = MOST_MARKS if caps.cache_marks else 0
        self._losses = losses

    def put(self, block: dict[str, object], cache: str | None, path: str) -> dict[str, object]:
        """Mark a block behind which the prompt is to be cached, as long as there are marks left."""
        if cache is None:
            return block
        if not self._left:
            self._losses.hint(path, "cache_mark", "a cache mark")
            return block
        self._left -= 1
        mark: dict[str, object] = {"type": "ephemeral"}
        if cache in _TIMES:
            mark["ttl"] = cache
        block["cache_control"] = mark
        return block

"""The way to the shared script: one server, a deadline, and the script sent only where it is not known yet."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

DEADLINE_S = 0.25
"""How long one call may take, connecting included: then the caller goes on without the server."""
UNREACHABLE = (RedisError, OSError, TimeoutError)
"""What the server, or the way to it, may raise."""
_KEYS = ("state", "needs", "starts", "members", "meter")


def script() -> str:
    """Read the source of the script; its parts are one chunk of Lua."""
    here = files("broker.limits")
    return "\n".join((here / name).read_text(encoding="utf-8") for name in ("bucket.lua", "reserve.lua"))


class Link:
    """Calls the script for one group at a time; every error of the server is left to the caller."""

    def __init__(self, url: str, *, prefix: str) -> None:
        # One retry, at once: a connection that died while it was idle says nothing about the server.
        # No timeout of its own: the library keeps it with `asyncio.wait_for`, which in Python 3.11 may swallow a
        # cancellation, and who was told to end would go on for ever. Callers have the deadline.
        self._redis = Redis.from_url(
            url, retry=Retry(NoBackoff(), 1), socket_connect_timeout=DEADLINE_S, socket_timeout=None
        )
        self._prefix = prefix
        self._source = script()
        self._digest = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()

    async def call(self, group: str, request: bytes, now: str = "") -> Sequence[bytes]:
        """Run the script for a group; `now` stands in for the server's clock in tests, empty in production."""
        # The braces keep all keys of a group on one node of a cluster.
        keys = [f"{self._prefix}:{{{group}}}:{name}" for name in _KEYS]
        try:
            reply: Sequence[bytes] = await self._redis.evalsha(self._digest, len(keys), *keys, request, now)
        except NoScriptError:
            reply = await self._redis.eval(self._source, len(keys), *keys, request, now)
        return reply

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

"""The reaper: judges death by liveness, not by age.

A worker is dead when its heartbeat counter stood still for 30 s of this reaper's own uninterrupted, successful
reads. Any database error, and any gap between two reads, starts that time again: after an outage everybody
looks stale, and nobody is dead.
"""

import logging

from broker.domain.clock import Clock
from broker.errors import StoreUnavailable
from broker.store import workers
from broker.store.engine import Database
from workers.recovery import bury

log = logging.getLogger("penstock.reaper")

READ_S = 2.0
STILL_FOR_S = 30.0
LONGEST_GAP_S = 3 * READ_S


class Reaper:
    """One per database, elected where there are several."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}
        """Per worker: its counter, and since when it has stood there."""
        self._last_read = float("-inf")

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(READ_S)

    async def look(self) -> int:
        """Compare heartbeats with the last look, and bury who is dead; returns the number of calls closed."""
        try:
            asked = self._clock.monotonic()
            beats = await self._database.read(workers.beats)
            now = self._clock.monotonic()
            if now - self._last_read > LONGEST_GAP_S:
                self._seen.clear()
            self._last_read = now
            self._seen = {
                beat.worker_id: self._seen[beat.worker_id]
                if beat.worker_id in self._seen and self._seen[beat.worker_id][0] == beat.beats
                else (beat.beats, now)
                for beat in beats
            }
            still_at = {
                worker_id: count for worker_id, (count, since) in self._seen.items() if asked - since >= STILL_FOR_S
            }
            if still_at:
                # A life sign may have been under way behind the look: who has shown one since is spared
                await self._database.write(workers.condemn, still_at)
            gone = await self._database.read(workers.departed)
            return await bury(self._database, gone) if gone else 0
        except StoreUnavailable as error:
            log.warning("heartbeats could not be read: %s", error)
            self._seen.clear()
            return 0

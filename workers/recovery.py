"""What a process does before it starts work: commit what the last one could not, and close what it left open."""

import logging
from collections.abc import Collection
from pathlib import Path

from broker.store import workers
from broker.store.engine import Database
from workers.lifeline import fallen
from workers.recorder import MOST_PER_FLUSH, commit, without_answer
from workers.spool import orphans

log = logging.getLogger("penstock.recovery")


async def replay_spools(database: Database, directory: Path) -> int:
    """Commit every report that a dead process left in its spool; returns how many there were."""
    count = 0
    for orphan in orphans(directory):
        committed = False
        try:
            reports = orphan.reports()
            for start in range(0, len(reports), MOST_PER_FLUSH):
                _, refused = await commit(database, reports[start : start + MOST_PER_FLUSH])
                if refused:
                    orphan.keep_aside()
                    # Their calls were made: left open they would be made, and paid, again
                    await commit(database, [without_answer(report) for report in refused])
            count += len(reports)
            committed = True
        finally:
            orphan.close(committed=committed)
    if count:
        log.info("%d answers were waiting in spools", count)
    return count


async def bury(database: Database, worker_ids: Collection[str]) -> int:
    """Close every attempt of workers that are known to be dead; returns how many calls have an unknown outcome."""
    count = 0
    while closed := await database.write(workers.reap, worker_ids):
        count += closed
    await database.write(workers.forget, list(worker_ids))
    if count:
        log.info("%d calls were in flight in processes that died", count)
    return count


async def bury_neighbours(database: Database, directory: Path) -> int:
    """Close what processes of this machine left open that are known to be dead; others may be alive and well."""
    count = 0
    for process in fallen(directory):
        buried = False
        try:
            await database.write(workers.forget, process.worker_ids)  # from now on they claim nothing
            count += await bury(database, process.worker_ids)
            buried = True
        finally:
            process.close(buried=buried)
    return count


async def bury_predecessors(database: Database) -> int:
    """Close what every earlier process left open; only for one that holds the database exclusively."""
    predecessors = {beat.worker_id for beat in await database.read(workers.beats)}
    predecessors.update(await database.read(workers.departed))
    return await bury(database, predecessors) if predecessors else 0

"""Notes answers from their arrival to their commit, where a process that is killed leaves them for its successor.

Between its arrival and its commit an answer would be in memory only, for some hundredths of a second. Notes are written
but not fsynced: what a kill leaves, a power cut may take. For outages of the database there is the spool.
"""

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from broker.domain.report import Report
from workers.spool import Spool

log = logging.getLogger("penstock.diary")

LARGEST = 16 * 1024 * 1024
"""Bytes of a page: then another one is begun, and the old one goes when all of it is committed."""


class _Page:
    __slots__ = ("left", "spool")

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.left = 0
        """Notes on it that are not committed."""


class Diary:
    """One per process. Reports are committed in the order in which they were noted."""

    def __init__(self, directory: Path, process_id: str, largest: int = LARGEST) -> None:
        self._directory = directory
        self._process_id = process_id
        self._largest = largest
        self._pages: deque[_Page] = deque()
        self._begun = 0

    def note(self, reports: Sequence[Report]) -> None:
        """Keep reports until they are committed; raises `OSError`, and counts them all the same."""
        if not self._pages or self._pages[-1].spool.size > self._largest:
            self._begun += 1
            self._pages.append(_Page(Spool(self._directory, f"{self._process_id}.{self._begun}")))
        page = self._pages[-1]
        page.left += len(reports)
        page.spool.append(reports, durable=False)

    def committed(self, count: int) -> None:
        """The oldest so many are in the database; raises `OSError`."""
        while count > 0 and self._pages:
            page = self._pages[0]
            done = min(count, page.left)
            page.left -= done
            count -= done
            if page.left:
                return
            if len(self._pages) == 1:
                page.spool.empty()
                return
            self._pages.popleft()
            page.spool.clear()

    def close(self) -> None:
        """Leave what is not committed to whoever looks for orphans; raises `OSError`."""
        while self._pages:
            page = self._pages.popleft()
            if page.left:
                page.spool.leave()
            else:
                page.spool.clear()

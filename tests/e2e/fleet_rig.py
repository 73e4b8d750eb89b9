"""A fleet in the test's own process, over programs that behave like workers."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broker.domain.account import Account
from broker.domain.clock import Clock, SystemClock
from broker.errors import ConfigError
from broker.store import scales
from broker.store.engine import open_database
from tests.engines import an_account
from workers.fleet import Fleet
from workers.launching import Launcher
from workers.scaling import Scaling

PROGRAM = Path(__file__).with_name("fleet_worker.py")
LIMIT_S = 30.0
LOOK_S = 0.01


def imitation(folder: Path) -> Callable[[str], Sequence[str]]:
    """The command that starts one of the programs."""
    return lambda account: (sys.executable, "-I", "-S", str(PROGRAM), str(folder), account)


class Programs:
    """What the programs of a folder do, and what they have done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def behave(self, account: str, *modes: str) -> None:
        """From now on, new processes of this account do so."""
        (self.folder / f"{account}.mode").write_text(" ".join(modes))

    def let(self, what: str) -> None:
        """`ready`: slow ones become ready; `finished`: busy ones end."""
        (self.folder / what).touch()

    def diary(self, account: str | None = None) -> list[dict[str, Any]]:
        """Everything that happened, in order."""
        path = self.folder / "diary"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        entries = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [entry for entry in entries if account in (None, entry["account"])]

    def count(self, what: str, account: str | None = None) -> int:
        return len(self.pids(what, account))

    def pids(self, what: str, account: str | None = None) -> list[int]:
        """The processes to which this happened, in order."""
        return [entry["pid"] for entry in self.diary(account) if entry["what"] == what]


class Rig(Programs):
    """A fleet, what its processes said, and the configuration that it reads again."""

    def __init__(self, folder: Path, database_url: str, accounts: Sequence[Account], clock: Clock) -> None:
        super().__init__(folder)
        self.said: list[bytes] = []
        self.complained: list[bytes] = []
        self.configured: Sequence[Account] | ConfigError = accounts
        self.database = open_database(database_url)
        self.launcher = Launcher(imitation(folder))
        self.launcher.adopt(accounts)
        self.fleet = Fleet(
            accounts,
            load=self._load,
            launcher=self.launcher,
            scaling=Scaling(self.database, clock),
            out=self.said.append,
            err=self.complained.append,
            clock=clock,
            random=lambda: 0.0,
            ready_within_s=LIMIT_S,
        )
        self.lost: Sequence[str] | None = None

    def _load(self) -> Sequence[Account]:
        if isinstance(self.configured, ConfigError):
            raise self.configured
        return self.configured

    async def ask(self, **numbers: int | None) -> None:
        """What `penstock scale` does."""
        await self.database.write(scales.ask, numbers)

    async def run(self, grace_s: float) -> None:
        self.lost = await self.fleet.run(grace_s)


def accounts(**numbers: int) -> list[Account]:
    """An account of each name, with so many processes."""
    return [an_account(name=name, workers=number) for name, number in numbers.items()]


async def until(happened: Callable[[], object]) -> None:
    """Wait for something in another process; fails when it does not happen."""
    async with asyncio.timeout(LIMIT_S):
        while not happened():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def a_fleet(
    folder: Path,
    database_url: str,
    configured: Sequence[Account],
    *,
    modes: Mapping[str, Sequence[str]] | None = None,
    grace_s: float = LIMIT_S,
    clock: Clock | None = None,
) -> AsyncIterator[Rig]:
    """Run a fleet for as long as the block runs; then what is left is killed, unless the test has stopped it."""
    rig = Rig(folder, database_url, configured, clock or SystemClock())
    for account in configured:
        rig.behave(account.name, *(modes or {}).get(account.name, ()))
    try:
        async with asyncio.timeout(2 * LIMIT_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(rig.run(grace_s))
            try:
                yield rig
            finally:
                if rig.lost is None:
                    rig.fleet.kill()
    finally:
        await rig.database.close()

"""The fleet: worker processes of many accounts, started, restarted, scaled, replaced and drained.

Fleet ── account ── Place openai/1 ── Supervised process, and the next one after that
                 └─ Place openai/2 …
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence

from broker.domain.account import Account
from broker.domain.clock import Clock
from broker.errors import ConfigError
from workers.launching import Launcher
from workers.patience import happens
from workers.place import Place
from workers.restarts import Restarts
from workers.scaling import Scaling
from workers.supervised import Supervised, Write

log = logging.getLogger("penstock.fleet")

LOOK_S = 1.0
READY_WITHIN_S = 120.0
"""A replacement that takes longer to be ready is given up."""
BEYOND_A_CALL_S = 60.0
"""A process that was told to end may take as long as its longest call, and so much more."""


class Fleet:
    """Runs the processes of these accounts until `stop`.

    `load` reads the configuration again, and tells `launcher` of it; it raises `ConfigError`. `out` and `err` get
    what the processes say, line by line.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        load: Callable[[], Sequence[Account]],
        launcher: Launcher,
        scaling: Scaling,
        out: Write,
        err: Write,
        clock: Clock,
        random: Callable[[], float],
        ready_within_s: float = READY_WITHIN_S,
    ) -> None:
        self._accounts = {account.name: account for account in accounts}
        self._load = load
        self._launcher = launcher
        self._scaling = scaling
        self._out = out
        self._err = err
        self._clock = clock
        self._random = random
        self._ready_within_s = ready_within_s
        self._places: dict[str, list[Place]] = {}
        """By account, also those that are draining."""
        self._parent = -1
        self._tasks: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._over = asyncio.Event()
        """Nothing is left to wait for, or nobody wants to wait."""
        self._lost: list[str] = []

    async def run(self, grace_s: float) -> Sequence[str]:
        """Keep the fleet up until `stop`, then let it drain for `grace_s` seconds.

        Returns which processes did not finish their calls, and how they ended; none, if all went well. Cancelled, it
        tells every process to end, and waits.
        """
        # Nothing is ever written: who holds the reading end sees its end when this process is gone, however it went
        self._parent, held = os.pipe()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                keeping = [self._tasks.create_task(self._keep_numbers()), self._tasks.create_task(self._keep_current())]
                await self._stop.wait()
                for task in keeping:
                    task.cancel()
                await self._drain(grace_s)
        finally:
            os.close(held)
            os.close(self._parent)
        return tuple(self._lost)

    def stop(self) -> None:
        """Let everything drain and end."""
        self._stop.set()

    def kill(self) -> None:
        """End everything at once."""
        self._stop.set()
        self._over.set()

    def reload(self) -> None:
        """Read the configuration again, and replace every process, one after the other."""
        self._reload.set()

    def shortage(self) -> str | None:
        """Name the accounts whose processes are not all ready; `None`: none."""
        missing = []
        for account in self._accounts.values():
            wanted, ready = self._scaling.wanted(account), self._ready(account.name)
            if ready < wanted:
                missing.append(f"{account.name}: {ready} of {wanted} processes are ready")
        return "; ".join(missing) or None

    def _ready(self, account: str) -> int:
        return sum(place.ready for place in self._places.get(account, ()))

    def _all_places(self) -> list[Place]:
        return [place for places in self._places.values() for place in places]

    async def _keep_numbers(self) -> None:
        """Look each second how many processes there shall be, and start or drain some."""
        while True:
            ready = {name: self._ready(name) for name in self._accounts}
            await self._scaling.look(list(self._accounts.values()), ready)
            self._adjust()
            await self._clock.sleep(LOOK_S)

    def _adjust(self) -> None:
        for account in self._accounts.values():
            staying = [place for place in self._places.get(account.name, ()) if not place.given_up]
            wanted = self._scaling.wanted(account)
            for place in staying:  # whose process may be an earlier one, with calls that may take as long as they could
                place.patience_s = max(place.patience_s, _patience_s(account))
            for place in staying[wanted:]:
                log.info("%s: drains, %d processes are wanted", place.name, wanted)
                place.give_up()
            for _ in range(wanted - len(staying)):
                self._open_place(account)
        for name in self._places.keys() - self._accounts.keys():
            for place in self._places[name]:
                if not place.given_up:
                    log.info("%s: drains, its account is gone", place.name)
                    place.give_up()

    def _open_place(self, account: Account) -> None:
        if self._tasks is None:
            return
        places = self._places.setdefault(account.name, [])
        taken = {place.name for place in places}
        number = next(n for n in range(1, len(taken) + 2) if f"{account.name}/{n}" not in taken)
        place = Place(
            f"{account.name}/{number}",
            begin=lambda: self._begin(account.name, place.name),
            patience_s=_patience_s(account),
            restarts=Restarts(self._random),
            clock=self._clock,
        )
        places.append(place)
        self._tasks.create_task(self._run(account.name, place))

    def _begin(self, account: str, name: str) -> Supervised:
        launch = self._launcher.launch(self._accounts[account])
        return Supervised(name, launch, out=self._out, err=self._err, parent=self._parent, clock=self._clock)

    async def _run(self, account: str, place: Place) -> None:
        try:
            await place.run()
        finally:
            self._lost += place.lost
            self._places[account].remove(place)
            if self._stop.is_set() and not self._all_places():
                self._over.set()

    async def _keep_current(self) -> None:
        """Whenever `reload` is called, take the configuration over, and replace what runs on the earlier one."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                accounts = self._load()
            except ConfigError as error:
                log.error("the configuration does not load, so everything stays as it is:\n%s", error)  # noqa: TRY400 - the message says it all
                continue
            before = self._all_places()
            self._accounts = {account.name: account for account in accounts}
            self._adjust()
            await self._replace([place for place in before if not place.given_up])

    async def _replace(self, places: Sequence[Place]) -> None:
        """Replace the processes of these places one after the other; an account where that fails keeps the others."""
        failed: set[str] = set()
        log.info("the configuration was read again; %d processes are replaced, one after the other", len(places))
        for place in places:
            account = place.name.rpartition("/")[0]
            if self._reload.is_set():
                return  # it has changed again
            if account not in failed and not await place.replace(ready_within_s=self._ready_within_s):
                failed.add(account)
        if failed:
            log.error(
                "a new process did not become ready, so the others stay as they are: %s; mend that, then send SIGHUP",
                ", ".join(sorted(failed)),
            )
        else:
            log.info("all processes are new")

    async def _drain(self, grace_s: float) -> None:
        places = self._all_places()
        log.info("stops: every process may finish its calls, for up to %g s", grace_s)
        for place in places:
            place.give_up()
        if places:
            await happens(self._over, within_s=grace_s, clock=self._clock)
        for place in self._all_places():
            log.error("%s: did not finish its calls and is killed", place.name)
            place.kill()


def _patience_s(account: Account) -> float:
    return account.timeout_seconds + BEYOND_A_CALL_S

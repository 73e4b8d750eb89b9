"""Answers two questions over HTTP, for whoever runs the process.

GET /livez    200 while the event loop runs on time and nothing that must run has ended; else restart the process
GET /readyz   200 while everything that it needs can be reached; else leave it be, and look at what it says
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from aiohttp.web import Application, AppRunner, Request, Response, TCPSite, json_response

from broker.domain.clock import Clock
from broker.errors import BrokerError, ConfigError
from broker.health.address import Address
from broker.health.lag import LoopLag
from broker.redaction import excerpt

Check = Callable[[], str | None]
"""Says at once, from what is already known, what is wrong; `None`: nothing."""
Probe = Callable[[], Awaitable[str | None]]
"""Tries something, and says what is wrong; `BrokerError` and `OSError` say so as well."""

STUCK_S = 5.0
"""An event loop that is so late is not alive."""
PROBE_WITHIN_S = 2.0
PROBED_FOR_S = 1.0
"""So long the answers of the probes are good for: whoever asks often does not make them run often."""
_LONGEST_WORDS = 300
_STOP_S = 0.1


class Health:
    """Serves `/livez` and `/readyz` while `serving` lasts.

    `checks` and `probes` decide whether the process is ready; `notes` are shown beside them and decide nothing (a
    queue that takes no messages for now, limits that are only shared out). All are by name. What they say is masked.
    """

    def __init__(
        self,
        address: Address,
        *,
        clock: Clock,
        checks: Mapping[str, Check],
        probes: Mapping[str, Probe] | None = None,
        notes: Mapping[str, Check] | None = None,
        probe_within_s: float = PROBE_WITHIN_S,
    ) -> None:
        self._address = address
        self._clock = clock
        self._checks = checks
        self._probes = probes or {}
        self._notes = notes or {}
        self._probe_within_s = probe_within_s
        self._lag = LoopLag(clock)
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._probed: dict[str, str | None] = {}
        self._probe_at = float("-inf")
        self._probing = asyncio.Lock()
        self.url = ""
        """Where it listens, once it does."""

    def must_run(self, name: str, task: asyncio.Task[Any]) -> None:
        """Without this task the process is not alive."""
        self._tasks[name] = task

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Listen for as long as the block runs. Raises `ConfigError` when that address cannot be had."""
        application = Application()
        application.router.add_get("/livez", self._live)
        application.router.add_get("/readyz", self._ready)
        runner = AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=_STOP_S)
        measuring = asyncio.get_running_loop().create_task(self._lag.run())
        try:
            await runner.setup()
            await self._listen(runner)
            yield self
        finally:
            measuring.cancel()
            await asyncio.wait({measuring})
            await runner.cleanup()

    async def _listen(self, runner: AppRunner) -> None:
        try:
            await TCPSite(runner, self._address.host, self._address.port).start()
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"--health {self._address}: cannot listen there: {reason}; choose another") from error
        self.url = f"http://{Address(host=self._address.host, port=runner.addresses[0][1])}"

    async def _live(self, _: Request) -> Response:
        ended = [name for name, task in self._tasks.items() if task.done()]
        alive = not ended and self._lag.seconds <= STUCK_S
        return _answer(well=alive, facts={"alive": alive, "ended": ended, **self._lateness()})

    async def _ready(self, _: Request) -> Response:
        checks = {name: _masked(check()) for name, check in self._checks.items()} | await self._latest_probes()
        ready = not any(checks.values())
        notes = {name: _masked(note()) for name, note in self._notes.items()}
        return _answer(well=ready, facts={"ready": ready, "checks": checks, "notes": notes, **self._lateness()})

    def _lateness(self) -> dict[str, float]:
        return {"loop_lag_ms": round(1000 * self._lag.seconds, 1)}

    async def _latest_probes(self) -> dict[str, str | None]:
        async with self._probing:
            if self._clock.monotonic() >= self._probe_at:
                async with asyncio.TaskGroup() as tasks:
                    running = {
                        name: tasks.create_task(_tried(probe, self._probe_within_s))
                        for name, probe in self._probes.items()
                    }
                self._probed = {name: task.result() for name, task in running.items()}
                self._probe_at = self._clock.monotonic() + PROBED_FOR_S
            return self._probed


async def _tried(probe: Probe, within_s: float) -> str | None:
    try:
        async with asyncio.timeout(within_s):
            return _masked(await probe())
    except TimeoutError:
        return f"no answer within {within_s:g} s"
    except (BrokerError, OSError) as error:
        return _masked(str(error) or type(error).__name__)


def _masked(words: str | None) -> str | None:
    return excerpt(words, _LONGEST_WORDS) if words else None


def _answer(*, well: bool, facts: Mapping[str, object]) -> Response:
    return json_response(facts, status=200 if well else 503, headers={"Cache-Control": "no-store"})

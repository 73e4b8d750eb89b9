"""The scenarios: what is killed, and when. What must hold afterwards is the same for all: `verdict`."""

import asyncio
import shutil
import time
from contextlib import suppress
from functools import partial

from sqlalchemy import select

from broker.store.tables import elections
from broker.wiring.serve import Role
from tests.chaos.running import Running
from tests.chaos.stage import POOL, Scenario, Size, Stage

_TAKEN_OVER_S = 60.0
_SPOOLED_S = 10.0
_SETTLED_S = 0.1


def _one_machine(stage: Stage) -> None:
    stage.serving = stage.fleet.serve()
    stage.workers = [stage.fleet.worker(POOL) for _ in range(stage.size.workers)]


def _two_feeders(stage: Stage) -> None:
    stage.serving = stage.fleet.serve(2)
    stage.workers = [stage.fleet.worker(POOL) for _ in range(stage.size.workers)]


def _many_machines(stage: Stage) -> None:
    stage.serving = stage.fleet.serve()
    stage.workers = [stage.fleet.worker(POOL, machine=f"machine{number}") for number in range(stage.size.workers)]


def _supervised(stage: Stage) -> None:
    stage.serving = stage.fleet.serve()
    stage.workers = [stage.fleet.fleet()]


async def _kill_workers(stage: Stage) -> None:
    """At random moments, a random one; started again at once."""
    for moment in stage.moments():
        await stage.reached(moment)
        place = stage.draw.randrange(len(stage.workers))
        await stage.kill(stage.workers[place])
        stage.workers[place] = stage.fleet.worker(POOL)


async def _lose_machines(stage: Stage) -> None:
    """A worker dies with its machine and its disk: nobody there buries it, and another machine takes over."""
    machines = [f"machine{number}" for number in range(stage.size.workers)]
    for number, moment in enumerate(stage.moments()):
        await stage.reached(moment)
        await stage.kill(stage.workers.pop(0))
        shutil.rmtree(stage.fleet.spool(machines.pop(0)))
        machines.append(f"new{number}")
        stage.workers.append(stage.fleet.worker(POOL, machine=machines[-1]))


async def _kill_rabbitmq(stage: Stage) -> None:
    rabbit = stage.fleet.servers.rabbit
    for moment in stage.moments():
        await stage.reached(moment)
        rabbit.kill()
        await asyncio.sleep(stage.size.away_s)
        rabbit.start()
        await rabbit.answers()


async def _wipe_rabbitmq(stage: Stage) -> None:
    for number in range(stage.size.faults):
        await stage.reached(stage.size.jobs * (number + 1) // (stage.size.faults + 1))
        await asyncio.to_thread(stage.fleet.servers.rabbit.wipe)


async def _stop_postgresql(stage: Stage) -> None:
    postgres = stage.fleet.servers.postgres
    for moment in stage.moments():
        await stage.reached(moment)
        postgres.stop_immediately()
        went = time.monotonic()
        await stage.until(partial(_calls_have_ended, stage), "all calls ended, their answers wait", stage.size.within_s)
        # The length of an outage is the scenario's own; there is nothing else to wait for
        await asyncio.sleep(max(0.0, went + stage.size.away_s - time.monotonic()))
        postgres.start()
        await postgres.answers()


async def _stop_postgresql_under_calls(stage: Stage) -> None:
    """Every call is under way when the database goes, and still when it is back: all life signs are old then."""
    postgres = stage.fleet.servers.postgres
    await stage.until(partial(_all_are_out, stage), "every call is under way", stage.size.within_s)
    postgres.stop_immediately()
    await asyncio.sleep(stage.size.away_s)
    postgres.start()
    await postgres.answers()


async def _all_are_out(stage: Stage) -> bool:
    stats = await asyncio.to_thread(stage.fleet.sim.stats)
    return bool(stats["accepted"] >= stage.size.jobs)


async def _kill_workers_with_answers(stage: Stage) -> None:
    """While the database is away all calls come to their end; then every worker dies, and its answers stay."""
    postgres = stage.fleet.servers.postgres
    for moment in stage.moments():
        await stage.reached(moment)
        open_calls = await _frozen_calls(stage)
        postgres.stop_immediately()
        for worker in stage.workers:
            worker.thaw()
        with suppress(TimeoutError):  # where the answers are not kept, their number tells it at the end
            await stage.until(partial(_are_spooled, stage, open_calls), "answers are spooled", _SPOOLED_S)
        for worker in stage.workers:
            worker.kill()
        postgres.start()
        await postgres.answers()
        stage.workers = [stage.fleet.worker(POOL) for _ in stage.workers]


async def _frozen_calls(stage: Stage) -> frozenset[str]:
    """Let the workers stand still; returns the calls that they have open."""
    for worker in stage.workers:
        worker.freeze()
    before: frozenset[str] = frozenset()
    # What had been sent to the database is committed soon
    while (now := await stage.fleet.open_attempts()) != before:
        before = now
        await asyncio.sleep(_SETTLED_S)
    return now


async def _calls_have_ended(stage: Stage) -> bool:
    stats = await asyncio.to_thread(stage.fleet.sim.stats)
    return stats["in_flight"] == 0 and bool(stage.fleet.spooled())


async def _are_spooled(stage: Stage, open_calls: frozenset[str]) -> bool:
    """Whether each of these calls that was made has its answer in a spool, and none is still to be made."""
    stats = await asyncio.to_thread(stage.fleet.sim.stats)
    paid = {str(call["client_request_id"]) for call in await asyncio.to_thread(stage.fleet.sim.ledger)}
    return stats["in_flight"] == 0 and open_calls & paid <= stage.fleet.spooled()


async def _kill_feeder(stage: Stage) -> None:
    """Of two processes, the one that feeds; it is started again when the other has taken over."""
    longest = 0.0
    for moment in stage.moments():
        await stage.reached(moment)
        epoch, feeder = await _feeder(stage)
        feeder.kill()
        died = time.monotonic()
        await stage.until(partial(_another_feeds, stage, epoch), "another process feeds", _TAKEN_OVER_S)
        longest = max(longest, time.monotonic() - died)
        stage.serving = [one for one in stage.serving if one is not feeder] + stage.fleet.serve()
    stage.figures["taken over within"] = longest


async def _feeder(stage: Stage) -> tuple[int, Running]:
    epoch, holder = await _elected(stage)
    for process in stage.serving:
        if f"process {process.pid} " in holder:
            return epoch, process
    raise RuntimeError(f"the feeder is {holder}, and none of the processes that were started")


async def _another_feeds(stage: Stage, epoch: int) -> bool:
    return (await _elected(stage))[0] > epoch


async def _elected(stage: Stage) -> tuple[int, str]:
    row = select(elections.c.epoch, elections.c.holder).where(elections.c.role == Role.FEEDER)
    found = await stage.fleet.read(lambda connection: connection.execute(row).one())
    return int(found.epoch), str(found.holder)


async def _roll(stage: Stage) -> None:
    """Every worker is replaced, one after the other, again and again."""
    (supervisor,) = stage.workers
    for number, moment in enumerate(stage.moments()):
        await stage.reached(moment)
        supervisor.hang_up()
        await stage.until(partial(_replaced, supervisor, number + 1), "all processes are new", stage.size.within_s)


async def _replaced(supervisor: Running, times: int) -> bool:
    return supervisor.log.count("all processes are new") >= times


WORKER_KILLED = Scenario(
    name="worker SIGKILL",
    full=Size(jobs=10_000, faults=20, call_s=0.4, within_s=900),
    begin=_one_machine,
    play=_kill_workers,
)
MACHINE_LOST = Scenario(
    name="machine lost",
    full=Size(jobs=10_000, faults=4, call_s=0.4, latest=0.5, within_s=900),
    begin=_many_machines,
    play=_lose_machines,
)
RABBITMQ_KILLED = Scenario(
    name="RabbitMQ SIGKILL",
    full=Size(jobs=10_000, faults=5, call_s=0.4, within_s=900),
    begin=_one_machine,
    play=_kill_rabbitmq,
)
RABBITMQ_WIPED = Scenario(
    name="RabbitMQ wiped",
    full=Size(jobs=10_000, faults=1, call_s=0.4, within_s=900),
    begin=_one_machine,
    play=_wipe_rabbitmq,
)
POSTGRESQL_STOPPED = Scenario(
    name="PostgreSQL stopped",
    full=Size(jobs=10_000, faults=5, call_s=0.4, away_s=20, within_s=900),
    begin=_one_machine,
    play=_stop_postgresql,
)
LONG_CALLS = Scenario(
    name="PostgreSQL, long calls",
    full=Size(jobs=64, faults=1, call_s=60.0, away_s=35, slots=32, within_s=400),
    begin=_one_machine,
    play=_stop_postgresql_under_calls,
)
ANSWERS_IN_SPOOLS = Scenario(
    name="killed with answers kept",
    full=Size(jobs=10_000, faults=5, call_s=0.4, within_s=900),
    begin=_one_machine,
    play=_kill_workers_with_answers,
)
FEEDER_KILLED = Scenario(
    name="feeder SIGKILL",
    full=Size(jobs=10_000, faults=3, call_s=0.4, within_s=900),
    begin=_two_feeders,
    play=_kill_feeder,
)
ROLLING_RESTART = Scenario(
    name="rolling restart",
    full=Size(jobs=10_000, faults=3, call_s=2.0, slots=64, within_s=900),
    begin=_supervised,
    play=_roll,
)
ALL = (
    *(WORKER_KILLED, RABBITMQ_KILLED, POSTGRESQL_STOPPED, RABBITMQ_WIPED, FEEDER_KILLED, ROLLING_RESTART),
    *(MACHINE_LOST, LONG_CALLS, ANSWERS_IN_SPOOLS),
)

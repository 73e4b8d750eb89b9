"""What goes to the shared script and what comes back: the wire between `RedisLimiter` and `reserve.lua`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from broker.domain.account import Limits
from broker.limits.port import Ask, Charge, Observation, Resource, Settlement
from broker.limits.tank import declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What the operator says of a group."""

    limits: Limits
    rho: float
    used_today: Mapping[Resource, float]
    """What the day limits had been charged before; counts where their levels have to be made up anew."""
    workers: int
    """How many processes are expected to share the group, for as long as nobody has counted them."""
    lease_s: float
    """How long after its start a reservation is given up for lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A reservation of this process."""

    start_at: float
    need: Charge
    shared: bool
    """Whether the shared state knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An observation, and when the answered call was started on our clock."""

    observation: Observation
    sent_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """What a process says that the shared state does not know (any more)."""

    declaration: Declaration
    again: bool
    """Whether calls may have been made that the shared state was not told of."""
    open: Mapping[str, Held]
    day_levels: Mapping[Resource, float]
    """Day limits last this long, so their levels are worth saving from a loss."""
    paused_for_s: float
    pause_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of the script; times are the server's."""

    member: str
    life: str | None
    ask: Sequence[Ask] = ()
    horizon_s: float = 0.0
    settle: Sequence[Settlement] = ()
    seen: Sequence[Seen] = ()
    throttle: tuple[float, str, Resource | None] | None = None
    describe: bool = False
    leave: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the script decided; times are the server's."""

    now: float
    life: str = ""
    paused_for_s: float = 0.0
    paused_at: float = 0.0
    pause_reason: str = ""
    epoch: int = 0
    generation: int = 0
    members: int = 1
    in_flight: int = 0
    hurry: bool = False
    """Somebody lacks a slot: a settlement should not wait for company."""
    levels: bytes = b""
    starts: Sequence[float] = ()
    retry_in: float | None = None
    why: str | None = None
    used: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))
    stranger: bool = False
    """The script did nothing, since it does not know this process: join first."""


def encode(request: Request, joining: Joining | None, offset: float) -> bytes:
    """Write a request; `offset` is what the server's clock is ahead of ours."""
    body: dict[str, Any] = {
        "member": request.member,
        "life": request.life,
        "join": None if joining is None else _joining(joining, offset),
        "settle": [_settlement(settlement) for settlement in request.settle],
        "seen": [
            (seen.observation.resource, seen.observation.limit, seen.observation.remaining, seen.sent_at + offset)
            for seen in request.seen
        ],
        "throttle": request.throttle,
        "ask": [(ask.reservation_id, *_parts(ask.need)) for ask in request.ask],
        "horizon": request.horizon_s,
        "describe": request.describe,
        "leave": request.leave,
    }
    return orjson.dumps(body)


def decode(raw: Sequence[bytes]) -> Reply:
    """Read a reply."""
    if raw[0] == b"stranger":
        return Reply(now=float(raw[1]), stranger=True)
    _, life, head, reason, levels, starts, retry_in, why, used = raw
    now, paused_for_s, paused_at, epoch, generation, members, in_flight, hurry = head.split()
    return Reply(
        now=float(now),
        life=life.decode(),
        paused_for_s=float(paused_for_s),
        paused_at=float(paused_at),
        pause_reason=reason.decode(),
        epoch=int(epoch),
        generation=int(generation),
        members=int(members),
        in_flight=int(in_flight),
        hurry=hurry == b"1",
        levels=levels,
        starts=[float(start) for start in starts.split()],
        retry_in=float(retry_in) if retry_in else None,
        why=why.decode() or None,
        used=_three(used),
    )


def levels_of(reply: Reply) -> dict[Resource, tuple[float, float]]:
    """Limit and level of each resource, in the order of their declaration."""
    words = iter(reply.levels.split())
    return {
        Resource(name.decode()): (float(limit), float(level))
        for name, limit, level in zip(words, words, words, strict=True)
    }


def sayable(seen: Observation) -> bool:
    """Whether an observation is made of numbers: JSON has no infinity, and headers should have none."""
    return all(value is None or math.isfinite(value) for value in (seen.limit, seen.remaining))


def _joining(joining: Joining, offset: float) -> dict[str, Any]:
    said = joining.declaration
    return {
        "limits": list(declared(said.limits)),
        "rho": said.rho,
        "slots": said.limits.concurrency,
        "lease": said.lease_s,
        "workers": said.workers,
        "used_today": {resource.value: used for resource, used in said.used_today.items()},
        "again": joining.again,
        "open": [
            (reservation_id, held.start_at + offset, *_parts(held.need))
            for reservation_id, held in joining.open.items()
        ],
        "day_levels": {resource.value: level for resource, level in joining.day_levels.items()},
        "pause": (joining.paused_for_s, joining.pause_reason),
    }


def _settlement(settlement: Settlement) -> tuple[Any, ...]:
    if settlement.actual is None:
        return settlement.reservation_id, settlement.how
    return settlement.reservation_id, settlement.how, *_parts(settlement.actual)


def _parts(charge: Charge) -> tuple[float, float, float]:
    return charge.requests, charge.input_tokens, charge.output_tokens


def _three(used: bytes) -> tuple[float, float, float]:
    if not used:
        return 0.0, 0.0, 0.0
    requests, input_tokens, output_tokens = map(float, used.split())
    return requests, input_tokens, output_tokens

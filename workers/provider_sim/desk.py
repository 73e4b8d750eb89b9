"""The life of one call at the provider: key, body, limits, fault, generation, delivery."""

import asyncio
import math
from dataclasses import dataclass

import orjson
from aiohttp.web import BaseRequest, StreamResponse
from pydantic import JsonValue

from broker.domain.clock import Clock
from workers.provider_sim import delivery, openai_errors
from workers.provider_sim.books import Books, KeyState
from workers.provider_sim.call import Call, ChatCall, Generated, Refused, Reply, generate
from workers.provider_sim.chance import NEUTRAL, Chance, identity_of
from workers.provider_sim.config import SimConfig
from workers.provider_sim.delivery import Ending
from workers.provider_sim.fault_kinds import FaultKind
from workers.provider_sim.gate import Need
from workers.provider_sim.ledger import Begun, request_id
from workers.provider_sim.openai import CLIENT_REQUEST_ID, Endpoint, render
from workers.provider_sim.openai_requests import read_object

LARGEST_BODY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request with a key that is known."""

    request: BaseRequest
    endpoint: Endpoint
    books: Books
    key: KeyState
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A visit that the limits let in."""

    visit: Visit
    call: Call
    need: Need
    chance: Chance
    fault: FaultKind | None


class Desk:
    """Serves the endpoints that cost money."""

    def __init__(self, config: SimConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._at_work: set[asyncio.Task[object]] = set()
        self._is_stopping = False

    async def serve(self, request: BaseRequest, endpoint: Endpoint, books: Books) -> StreamResponse:
        """Answer one request, or fail it as configured."""
        books.requests += 1
        number = books.requests
        raw = await _body(request)
        key = books.keys.get(bearer(request))
        if key is None:
            books.strangers += 1
            response, _ = await delivery.whole(request, openai_errors.bad_key(), _headers(number, 0.0))
            return response
        key.counters.requests += 1
        visit = Visit(request=request, endpoint=endpoint, books=books, key=key, number=number)
        try:
            admitted = self._admit(visit, raw)
        except Refused as refused:
            key.counters.rejected[refused.cause] += 1
            return await _send(visit, refused.reply)
        # Nothing may be awaited between the admission and this point, or a cancellation would leak the slot.
        task = asyncio.current_task()
        try:
            if task is not None:
                self._at_work.add(task)
            return await self._work(admitted)
        finally:
            if task is not None:
                self._at_work.discard(task)
            books.leave(key)

    async def stop(self) -> None:
        """End every call in progress at once; their rows say `stopped`."""
        self._is_stopping = True
        tasks = list(self._at_work)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _admit(self, visit: Visit, raw: bytes | None) -> Admitted:
        """Check everything that comes before the work, and take a slot; raises `Refused`, and then holds none."""
        key, books = visit.key, visit.books
        now = books.now()
        if key.is_revoked(now):
            raise Refused("revoked", openai_errors.bad_key())
        if raw is None:
            raise Refused("too_large", openai_errors.invalid("Request body is too large.", status=413))
        body = read_object(raw)
        model = str(body["model"])
        if self._config.models and model not in self._config.models:
            raise Refused("unknown_model", openai_errors.no_such_model(model))
        call, identity = _understood(visit, body)
        if key.is_exhausted(now):
            raise Refused("quota_exhausted", openai_errors.quota_exhausted())
        need = _need(call)
        denial = key.gate.admit(need, now)
        if denial is not None:
            reply = openai_errors.denied(denial, model, key.config.name, key.config.retry_hint)
            raise Refused(str(denial.limit), reply)
        books.enter(key, now)
        chance, fault = NEUTRAL, None
        if books.is_random:
            chance = books.deal(identity)
            fault = books.plan.choose(chance.fault, identity)
        if fault is not None:
            key.counters.faults[str(fault)] += 1
        return Admitted(visit=visit, call=call, need=need, chance=chance, fault=fault)

    async def _work(self, admitted: Admitted) -> StreamResponse:
        """Generate and deliver, or do what the fault says."""
        visit, fault = admitted.visit, admitted.fault
        if fault is None or visit.books.plan.is_paid(fault):
            return await self._generate(admitted)
        visit.key.gate.refund(admitted.need, visit.books.now())
        if fault is FaultKind.HANG:
            await _forever()
        if fault is FaultKind.RESET_BEFORE:
            return delivery.reset(visit.request)
        return await _send(visit, self._fault_reply(admitted, fault))

    async def _generate(self, admitted: Admitted) -> StreamResponse:
        """Run a paid call: in the ledger before anything else happens, and finished there however it ends."""
        visit, call, fault = admitted.visit, admitted.call, admitted.fault
        generated = generate(call, self._config.output, self._config.usage, normal=admitted.chance.output)
        row = visit.books.begin(visit.key, _begun(visit, call, generated))
        outcome: str = Ending.ABORTED
        try:
            seconds = self._latency(generated, admitted.chance)
            if seconds > 0:
                await self._clock.sleep(seconds)
            body = render(call, generated, number=visit.number, created=int(self._clock.now()))
            headers = _headers(visit.number, seconds) | _limits(visit)
            response, outcome = await self._deliver(admitted, Reply(status=200, body=body), headers)
        except asyncio.CancelledError:
            if self._is_stopping:
                outcome = Ending.STOPPED
            elif fault is FaultKind.HANG:
                outcome = fault
            raise
        else:
            return response
        finally:
            visit.books.finish(visit.key, row, outcome, generated.output_tokens)

    async def _deliver(self, admitted: Admitted, good: Reply, headers: dict[str, str]) -> tuple[StreamResponse, str]:
        """Send the answer of a paid call as its fault demands; returns the ledger's outcome."""
        request, fault = admitted.visit.request, admitted.fault
        match fault:
            case None:
                return await delivery.whole(request, good, headers)
            case FaultKind.RESET_AFTER:
                return delivery.reset(request), fault
            case FaultKind.CUT_BODY:
                return await delivery.cut(request, good, headers), fault
            case FaultKind.SLOW_DRIP:
                interval_s = self._config.faults.drip_interval_s
                return await delivery.drip(request, good, headers, clock=self._clock, interval_s=interval_s)
            case FaultKind.HANG:
                await _forever()
        response, _ = await delivery.whole(request, self._fault_reply(admitted, fault), headers)
        return response, fault

    def _fault_reply(self, admitted: Admitted, fault: FaultKind) -> Reply:
        """Return the response of a fault that has one."""
        model, key = admitted.call.model, admitted.visit.key.config.name
        match fault:
            case FaultKind.RATE_LIMITED:
                return openai_errors.rate_limited(model, key, self._config.faults.retry_after_s)
            case FaultKind.RATE_LIMITED_NO_HINT:
                return openai_errors.rate_limited(model, key, None)
            case FaultKind.QUOTA_EXHAUSTED:
                return openai_errors.quota_exhausted()
        reply = openai_errors.server_fault(fault) or openai_errors.malformed(fault, model)
        if reply is None:
            raise AssertionError(f"{fault} has no reply")
        return reply

    def _latency(self, generated: Generated, chance: Chance) -> float:
        model = self._config.latency
        seconds = model.first_token_s + generated.output_tokens * model.per_token_s
        if seconds == 0 or model.sigma == 0:
            return seconds
        return seconds * math.exp(model.sigma * chance.latency - model.sigma**2 / 2)


def bearer(request: BaseRequest) -> str:
    """Return the key a request carries, empty when it carries none."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


async def _body(request: BaseRequest) -> bytes | None:
    """Return the whole body, `None` when it is larger than `LARGEST_BODY`."""
    if (request.content_length or 0) > LARGEST_BODY:
        return None
    chunks, size = [], 0
    while chunk := await request.content.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_BODY:
            return None
    return b"".join(chunks)


def _understood(visit: Visit, body: dict[str, JsonValue]) -> tuple[Call, int]:
    """Return the call and the identity of its request; raises `Refused`."""
    try:
        identity = identity_of(visit.endpoint.path, body) if visit.books.is_random else 0
        return visit.endpoint.read(body), identity
    except orjson.JSONEncodeError:
        # The parser takes deeper nesting than the writer.
        too_deep = openai_errors.invalid("The JSON body of your request is nested too deeply.")
        raise Refused("invalid_request", too_deep) from None


def _need(call: Call) -> Need:
    if isinstance(call, ChatCall):
        maximum = call.max_output_tokens
        return Need(
            input_tokens=call.input_tokens,
            max_output_tokens=None if maximum is None else maximum * call.choices,
        )
    return Need(input_tokens=call.input_tokens, max_output_tokens=0)


def _begun(visit: Visit, call: Call, generated: Generated) -> Begun:
    return Begun(
        request=visit.number,
        client_request_id=visit.request.headers.get(CLIENT_REQUEST_ID),
        key=visit.key.config.name,
        path=visit.endpoint.path,
        model=call.model,
        prompt_digest=generated.prompt_digest,
        input_tokens=generated.input_tokens,
        cached_tokens=generated.cached_tokens,
        output_tokens=generated.output_tokens,
        reasoning_tokens=generated.reasoning_tokens,
        started_at=visit.books.now(),
    )


def _headers(number: int, seconds: float) -> dict[str, str]:
    return {
        "x-request-id": request_id(number),
        "openai-processing-ms": str(round(seconds * 1000)),
        "openai-version": "2020-10-01",
    }


def _limits(visit: Visit) -> dict[str, str]:
    return openai_errors.limit_headers(visit.key.gate.levels(visit.books.now()))


async def _send(visit: Visit, reply: Reply) -> StreamResponse:
    """Send a reply that nobody pays for."""
    response, _ = await delivery.whole(visit.request, reply, _headers(visit.number, 0.0) | _limits(visit))
    return response


async def _forever() -> None:
    """Wait until cancelled: the client goes, or the simulator stops."""
    await asyncio.Event().wait()

"""The life of one call at the provider: key, body, limits, fault, generation, delivery."""

import asyncio
import math
from dataclasses import dataclass

from aiohttp.web import BaseRequest, StreamResponse

from broker.domain.clock import Clock
from workers.provider_sim import delivery
from workers.provider_sim.books import Books, KeyState
from workers.provider_sim.call import Call, Refused, Reply, TextCall
from workers.provider_sim.chance import NEUTRAL, Chance
from workers.provider_sim.config import SelfHostedConfig, SimConfig
from workers.provider_sim.delivery import Ending
from workers.provider_sim.fault_kinds import FaultKind
from workers.provider_sim.gate import Need
from workers.provider_sim.generation import Generated, generate
from workers.provider_sim.ledger import Begun, request_id
from workers.provider_sim.models import revoked
from workers.provider_sim.proxy import fault_reply
from workers.provider_sim.understanding import understood
from workers.provider_sim.vendor import Endpoint, Issue, model_in, read_object

CLIENT_REQUEST_ID = "X-Client-Request-Id"
LARGEST_BODY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request with a key that is known."""

    request: BaseRequest
    endpoint: Endpoint
    model: str | None
    """That of the path, `None` where it is in the body."""
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
        self._self_hosted = None if config.self_hosted == SelfHostedConfig() else config.self_hosted
        self._clock = clock
        self._at_work: set[asyncio.Task[object]] = set()
        self._is_stopping = False

    async def serve(self, request: BaseRequest, endpoint: Endpoint, model: str | None, books: Books) -> StreamResponse:
        """Answer one request, or fail it as configured; `model` is that of the path, where it names one."""
        books.requests += 1
        number = books.requests
        raw = await _body(request)
        vendor = endpoint.vendor
        secret = vendor.headers.key_of(request)
        key = books.keys.get(secret)
        if key is None:
            books.strangers += 1
            stranger = vendor.headers.signed(vendor.errors.bad_key(is_given=bool(secret)), request_id(number))
            headers = vendor.headers.of_answer(request_id(number), 0.0)
            response, _ = await delivery.whole(request, stranger, headers)
            return response
        key.counters.requests += 1
        visit = Visit(request=request, endpoint=endpoint, model=model, books=books, key=key, number=number)
        try:
            admitted = self._admit(visit, raw)
        except Refused as refused:
            key.counters.rejected[refused.cause] += 1
            return await self._send(visit, refused.reply)
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
        key, books, vendor = visit.key, visit.books, visit.endpoint.vendor
        now = books.now()
        if key.is_revoked(now):
            raise Refused("revoked", revoked(vendor, key.config))
        if raw is None:
            raise Refused("too_large", vendor.errors.too_large())
        body = read_object(raw, vendor.errors)
        model = model_in(body, vendor.errors) if visit.model is None else visit.model
        if self._config.models and model not in self._config.models:
            raise Refused("unknown_model", vendor.errors.no_such_model(model))
        call, identity = understood(
            visit.endpoint, model, body, visit.request.headers, self._self_hosted, is_random=books.is_random
        )
        if key.is_exhausted(now):
            raise Refused("quota_exhausted", vendor.errors.exhausted(key.config.exhausted_form, model))
        need = _need(call)
        denial = key.gate.admit(need, now)
        if denial is not None:
            raise Refused(str(denial.limit), vendor.errors.denied(denial, model, key.config))
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
        return await self._send(visit, self._fault_reply(admitted, fault))

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
            body = visit.endpoint.render(call, generated, self._issue(visit))
            headers = self._headers(visit, seconds)
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
        visit, model = admitted.visit, admitted.call.model
        if fault is FaultKind.ERROR_OBJECT:
            return Reply(status=200, body=visit.endpoint.failed(model, self._issue(visit)))
        retry_after_s = self._config.faults.retry_after_s
        reply = fault_reply(fault, model, visit.key.config, visit.endpoint.vendor.errors, retry_after_s)
        if reply is None:
            raise AssertionError(f"{fault} has no reply")
        return reply

    def _issue(self, visit: Visit) -> Issue:
        return Issue(
            number=visit.number,
            created=int(self._clock.now()),
            says_usage=self._self_hosted is None or self._self_hosted.usage == "reported",
        )

    def _headers(self, visit: Visit, seconds: float) -> dict[str, str]:
        headers, levels = visit.endpoint.vendor.headers, visit.key.gate.levels(visit.books.now())
        own = headers.of_answer(request_id(visit.number), seconds)
        return own | headers.of_limits(levels, self._clock.now()) if levels else own

    async def _send(self, visit: Visit, reply: Reply) -> StreamResponse:
        """Send a reply that nobody pays for."""
        signed = visit.endpoint.vendor.headers.signed(reply, request_id(visit.number))
        response, _ = await delivery.whole(visit.request, signed, self._headers(visit, 0.0))
        return response

    def _latency(self, generated: Generated, chance: Chance) -> float:
        model = self._config.latency
        seconds = model.first_token_s + generated.output_tokens * model.per_token_s
        if seconds == 0 or model.sigma == 0:
            return seconds
        return seconds * math.exp(model.sigma * chance.latency - model.sigma**2 / 2)


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


def _need(call: Call) -> Need:
    if isinstance(call, TextCall):
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


async def _forever() -> None:
    """Wait until cancelled: the client goes, or the simulator stops."""
    await asyncio.Event().wait()

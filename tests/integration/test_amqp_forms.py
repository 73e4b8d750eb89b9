"""Jobs in the forms of other vendors over AMQP: taken in, kept apart by form, and answered in their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from broker.domain.form import BatchForm
from broker.domain.job import Endpoint, JobKey
from broker.domain.loss import OnLoss
from broker.store import batches, manifest, subscriptions, workers
from broker.store.claim import Claimant, claim
from broker.store.engine import Database, open_database
from broker.store.record import record
from broker.store.segment import SegmentJob, read_segment, unpack_line
from broker.testing.builders import ACCOUNT, PROVIDER, a_claim, a_report
from broker.transport.public.addresses import Addresses
from tests.amqp_rig import (
    PROJECT,
    Producer,
    a_delivery,
    a_job,
    a_prefix,
    a_producer,
    an_intake,
    becomes,
    cleaned,
    in_a_loop,
    jobs,
    taken,
)

SAID = [{"role": "user", "content": "hi"}]
ENTRY: dict[str, Any] = {"custom_id": "a", "params": {"model": "judge", "max_tokens": 9, "messages": SAID}}
GEMINI: dict[str, Any] = {"key": "a", "request": {"model": "models/judge", "contents": [{"parts": [{"text": "hi"}]}]}}
ROWS = {BatchForm.OPENAI: a_job(), BatchForm.ANTHROPIC: ENTRY, BatchForm.GEMINI: GEMINI}
ENDPOINTS = {
    BatchForm.OPENAI: Endpoint.CHAT_COMPLETIONS,
    BatchForm.ANTHROPIC: Endpoint.MESSAGES,
    BatchForm.GEMINI: Endpoint.GENERATE_CONTENT,
}


@dataclass(frozen=True, kw_only=True)
class Rig:
    url: str
    prefix: str
    database: Database
    producer: Producer

    async def accepted(self, **message: Any) -> tuple[int, str]:
        """Submit jobs; returns the id and the name of their batch."""
        reply = await self.producer.submit(jobs(**message))
        assert "accepted" in reply, reply
        return reply["accepted"]["batch_id"], reply["accepted"]["batch"]

    async def job(self, batch_id: int) -> SegmentJob:
        (job,) = map(unpack_line, read_segment(await self.database.read(manifest.payload, batch_id, 0)))
        return job


@asynccontextmanager
async def rig(url: str, database_url: str) -> AsyncIterator[Rig]:
    database = open_database(database_url)
    prefix = a_prefix()
    try:
        async with (
            cleaned(url, prefix, Addresses.under(prefix).results(PROJECT, "feed")),
            an_intake(url, database, prefix=prefix),
            a_producer(url, prefix) as producer,
        ):
            yield Rig(url=url, prefix=prefix, database=database, producer=producer)
    finally:
        await database.close()


@in_a_loop
async def test_jobs_without_a_batch_join_the_standing_one_of_their_form(rabbitmq_url: str, database_url: str) -> None:
    async with rig(rabbitmq_url, database_url) as r:
        for form, row in ROWS.items():
            batch_id, name = await r.accepted(jobs=[row])
            assert name == ("standing" if form is BatchForm.OPENAI else f"standing-{form}")
            batch = await r.database.read(batches.get, batch_id)
            assert (batch.form, batch.sealed) == (form, False)
            job = await r.job(batch_id)
            assert (job.endpoint, job.custom_id, job.on_loss) == (ENDPOINTS[form], "a", OnLoss.FAIL)


@in_a_loop
async def test_what_a_message_says_of_its_batch_is_said_by_all_messages_of_it(
    rabbitmq_url: str, sqlite_url: str
) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        said = {"batch": "eval", "on_loss": "drop", "use": "research"}
        batch_id, _ = await r.accepted(jobs=[ENTRY], **said)
        batch = await r.database.read(batches.get, batch_id)
        assert (batch.form, batch.on_loss, batch.use) == (BatchForm.ANTHROPIC, OnLoss.DROP, "research")
        assert (await r.job(batch_id)).on_loss is OnLoss.DROP
        for other in ({"jobs": [GEMINI]}, {"on_loss": "fail"}, {"use": "sales"}):
            refused = await r.producer.submit(jobs(**({"jobs": [ENTRY]} | said | other)))
            assert refused["error"]["code"] == "batch_differs"
        assert (await r.accepted(jobs=[ENTRY], **said))[0] == batch_id


@pytest.mark.parametrize("form", [BatchForm.ANTHROPIC, BatchForm.GEMINI])
def test_results_arrive_in_the_form_of_their_batch(rabbitmq_url: str, sqlite_url: str, form: BatchForm) -> None:
    @in_a_loop
    async def scenario() -> None:
        async with rig(rabbitmq_url, sqlite_url) as r:
            batch_id, _ = await r.accepted(jobs=[ROWS[form]], batch="eval", seal=True)
            await r.producer.submit({"version": 1, "kind": "subscribe", "name": "feed"})
            await r.database.write(workers.register, "worker-1", ACCOUNT)
            claimant = Claimant(worker_id="worker-1", account=ACCOUNT, provider=PROVIDER)
            key = JobKey(batch_id, 0)
            await r.database.write(claim, claimant, [a_claim(key)])
            await r.database.write(record, [a_report(key)])
            queue = Addresses.under(r.prefix).results(PROJECT, "feed")
            async with a_delivery(r.url, r.database, prefix=r.prefix):

                async def sent() -> bool:
                    return not await r.database.read(subscriptions.backlog, 100)

                await becomes(sent)
            result, end = await taken(r.url, queue, 2)
            told = orjson.loads(result.body)
            if form is BatchForm.ANTHROPIC:
                assert told == {"custom_id": "row-0", "result": {"type": "succeeded", "message": {"answer": 1}}}
            else:
                assert told == {"key": "row-0", "response": {"answer": 1}}
            assert orjson.loads(end.body)["event"] == "batch.completed"

    scenario()

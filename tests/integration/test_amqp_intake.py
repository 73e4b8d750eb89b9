"""Submissions over AMQP: accepted once, refused with reasons, or put aside; and the intake goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pamqp.commands import Basic
from sqlalchemy import Connection, select

from broker.intake.amqp.intake import AmqpIntake
from broker.store import manifest
from broker.store.engine import Database, open_database
from broker.store.segment import read_segment, unpack_line
from broker.store.tables import batches, quarantine, submissions
from broker.testing.outages import eventually
from tests.amqp_rig import (
    PROJECT,
    Producer,
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
from tests.rabbit_rig import depth


@dataclass(frozen=True, kw_only=True)
class Rig:
    url: str
    prefix: str
    database: Database
    intake: AmqpIntake
    producer: Producer

    async def rows(self, table: Any) -> list[Any]:
        def all_of(connection: Connection) -> list[Any]:
            return list(connection.execute(select(table)).all())

        return await self.database.read(all_of)

    async def noted(self, messages: int) -> list[Any]:
        """Wait for so many rows in quarantine."""

        async def there() -> bool:
            return len(await self.rows(quarantine)) >= messages

        await becomes(there)
        return await self.rows(quarantine)

    async def aside(self) -> tuple[AbstractIncomingMessage, Any]:
        """The one message in quarantine, and its row."""
        (row,) = await self.noted(1)
        (message,) = await taken(self.url, f"{self.prefix}penstock.quarantine", 1)
        assert (message.headers["penstock-code"], message.headers["penstock-reason"]) == (row.code, row.reason)
        return message, row


@asynccontextmanager
async def rig(url: str, database_url: str, **said: Any) -> AsyncIterator[Rig]:
    database = open_database(database_url)
    try:
        async with (
            cleaned(url, a_prefix()) as prefix,
            an_intake(url, database, prefix=prefix, **said) as intake,
            a_producer(url, prefix) as producer,
        ):
            yield Rig(url=url, prefix=prefix, database=database, intake=intake, producer=producer)
    finally:
        await database.close()


@in_a_loop
async def test_jobs_are_in_the_manifest_byte_for_byte_when_they_are_answered(
    rabbitmq_url: str, database_url: str
) -> None:
    async with rig(rabbitmq_url, database_url) as r:
        body = b'{"model": "judge",  "messages":\r\n [ {"role":"user","content":"1e0\\u00e9"} ], "seed": 1.0}'
        line = b'{"custom_id":"x","url":"/v1/chat/completions","body":' + body + b"}"
        message = b'{"version":1,"kind":"jobs","batch":"eval","jobs":[' + line + b"]}"
        reply = await r.producer.submit(message)
        (batch,) = await r.rows(batches)
        assert reply == {"accepted": {"batch_id": batch.batch_id, "batch": "eval", "first_position": 0, "jobs": 1}}
        assert (batch.project, batch.state, bool(batch.sealed)) == (PROJECT, "running", False)
        payload = await r.database.read(manifest.payload, batch.batch_id, 0)
        (job,) = map(unpack_line, read_segment(payload))
        assert (job.custom_id, job.body) == ("x", body.replace(b"\r\n", b"  "))


@in_a_loop
async def test_jobs_of_several_routes_and_messages_have_consecutive_positions(
    rabbitmq_url: str, sqlite_url: str
) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        pinned = a_job("p", body={"model": "judge@home", "messages": [1]})
        first = await r.producer.submit(jobs(jobs=[a_job("a"), pinned, a_job("b")]))
        second = await r.producer.submit(jobs("a", "c"))
        assert [first["accepted"]["first_position"], second["accepted"]["first_position"]] == [0, 3]
        assert first["accepted"]["batch"] == second["accepted"]["batch"] == "standing"
        batch_id = first["accepted"]["batch_id"]
        found: dict[int, tuple[str, str]] = {}
        for row in await r.database.read(manifest.segment_rows, batch_id):
            lines = read_segment(await r.database.read(manifest.payload, batch_id, row.number))
            found |= {unpack_line(line).position: (row.route, unpack_line(line).custom_id) for line in lines}
        assert found == {
            0: ("judge", "a"), 1: ("judge@home", "p"), 2: ("judge", "b"), 3: ("judge", "a"), 4: ("judge", "c"),
        }  # fmt: skip


@in_a_loop
async def test_a_hundred_twins_are_accepted_once_and_get_one_reply(rabbitmq_url: str, database_url: str) -> None:
    async with rig(rabbitmq_url, database_url) as r:
        for _ in range(100):
            await r.producer.publish(jobs("a", "b"), message_id="m1")
        replies = [await r.producer.reply() for _ in range(100)]
        assert all(reply == replies[0] for reply in replies)
        (batch,) = await r.rows(batches)
        assert batch.total == 2
        assert len(await r.rows(submissions)) == 1


@in_a_loop
async def test_a_thousand_jobs_in_a_message_are_taken_and_one_more_is_not(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        names = [f"job-{number}" for number in range(1_001)]
        reply = await r.producer.submit(jobs(*names[:1_000]))
        assert reply["accepted"]["jobs"] == 1_000
        reply = await r.producer.submit(jobs(*names))
        assert reply["error"]["code"] == "invalid_message"
        assert "1 to 1000" in reply["error"]["message"]


@in_a_loop
async def test_another_body_under_the_same_id_is_a_conflict(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        await r.producer.submit(jobs("a"), message_id="m1")
        reply = await r.producer.submit(jobs("b"), message_id="m1")
        assert reply["error"]["code"] == "id_conflict"
        (batch,) = await r.rows(batches)
        assert batch.total == 1


@in_a_loop
async def test_a_batch_is_sealed_by_its_last_jobs_or_by_a_message(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        await r.producer.submit(jobs("a", batch="one", seal=True))
        await r.producer.submit(jobs("a", batch="two"))
        reply = await r.producer.submit({"version": 1, "kind": "seal", "batch": "two"})
        assert (reply["accepted"]["batch"], reply["accepted"]["total"]) == ("two", 1)
        assert [bool(row.sealed) for row in await r.rows(batches)] == [True, True]
        for name in ("one", "two"):
            reply = await r.producer.submit(jobs("b", batch=name))
            assert reply["error"]["code"] == "batch_sealed"


@in_a_loop
async def test_whoever_feeds_is_told_of_each_accepted_message(rabbitmq_url: str, sqlite_url: str) -> None:
    told: list[None] = []
    async with rig(rabbitmq_url, sqlite_url, on_accepted=lambda: told.append(None)) as r:
        await r.producer.submit(jobs("a"))
        await r.producer.submit(jobs("a", weight=-1))
        assert len(told) == 1


@in_a_loop
async def test_a_message_is_accepted_whole_or_not_at_all(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        bad = [
            a_job("a"),
            a_job("a"),
            a_job("s", body={"model": "judge", "messages": [1], "stream": True}),
            a_job("m", body={"model": "jugde", "messages": [1]}),
            a_job("u", url="/v1/images"),
            a_job("k", priority=3),
        ]
        reply = await r.producer.submit(jobs(jobs=bad))
        error = reply["error"]
        assert (error["code"], await r.rows(batches)) == ("invalid_rows", [])
        assert [(problem["position"], problem["custom_id"], problem["code"]) for problem in error["problems"]] == [
            (1, "a", "duplicate_custom_id"),
            (2, "s", "stream_refused"),
            (3, "m", "unknown_model"),
            (4, "u", "unknown_url"),
            (5, "k", "invalid_field"),
        ]
        assert 'did you mean "judge"' in error["problems"][2]["message"]
        assert await r.rows(quarantine) == []  # its producer knows


@pytest.mark.parametrize("reply_to", [None, "no-such-queue", "ours"])
@in_a_loop
async def test_what_nobody_was_told_of_is_put_aside(rabbitmq_url: str, sqlite_url: str, reply_to: str | None) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        message = jobs(jobs=[a_job("u", url="/v1/images")])
        where = f"{r.prefix}penstock.submit" if reply_to == "ours" else reply_to
        await r.producer.publish(message, reply_to=where)
        aside, row = await r.aside()
        assert (row.code, orjson.loads(aside.body)) == ("invalid_rows", message)


@in_a_loop
async def test_what_was_accepted_stays_accepted_when_its_route_is_gone(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        first = await r.producer.submit(jobs("a"), message_id="m1")
        async with an_intake(rabbitmq_url, r.database, prefix=f"{r.prefix}2.", routes=frozenset({"other"})) as second:
            assert second.problem is None
            async with a_producer(rabbitmq_url, f"{r.prefix}2.") as producer:
                assert await producer.submit(jobs("a"), message_id="m1") == first
                assert (await producer.submit(jobs("b")))["error"]["code"] == "invalid_rows"
        async with cleaned(rabbitmq_url, f"{r.prefix}2."):
            pass


MALFORMED: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "no JSON": (b"\xff\xfe{", {}, "malformed"),
    "cut off": (b'{"version":1,"kind":"jobs","jobs":[{"custom_id"', {}, "malformed"),
    "empty": (b"", {}, "malformed"),
    "an array": (b"[]", {}, "malformed"),
    "too deep": (b'{"version":1,"kind":"seal","batch":' + b"[" * 5_000 + b"]" * 5_000 + b"}", {}, "malformed"),
    "a key twice": (b'{"version":1,"kind":"seal","batch":"a","batch":"b"}', {}, "malformed"),
    "jobs that are no array": (b'{"version":1,"kind":"jobs","jobs":{}}', {}, "malformed"),
    "another version": (orjson.dumps(jobs(version=2)), {}, "unknown_version"),
    "no version": (b'{"kind":"seal","batch":"a"}', {}, "unknown_version"),
    "another kind": (orjson.dumps(jobs(kind="cancel")), {}, "unknown_kind"),
    "an unknown key": (orjson.dumps(jobs(project="other")), {}, "invalid_message"),
    "no jobs": (b'{"version":1,"kind":"jobs"}', {}, "invalid_message"),
    "a bad weight": (orjson.dumps(jobs(weight=0)), {}, "invalid_message"),
    "a bad name": (orjson.dumps(jobs(batch="a\nb")), {}, "invalid_message"),
    "sealing what is never sealed": (orjson.dumps(jobs(seal=True)), {}, "invalid_message"),
    "an unprintable message id": (orjson.dumps(jobs()), {"message_id": "a\x00b"}, "invalid_message_id"),
    "another content type": (orjson.dumps(jobs()), {"content_type": "text/plain"}, "wrong_content_type"),
    "compressed": (orjson.dumps(jobs()), {"content_encoding": "gzip"}, "wrong_content_encoding"),
    "too large": (b" " * (8 * 1024 * 1024 + 1), {}, "too_large"),
}


@pytest.mark.parametrize("name", MALFORMED)
@in_a_loop
async def test_what_is_no_submission_is_put_aside_and_answered_and_the_intake_goes_on(
    rabbitmq_url: str, sqlite_url: str, name: str
) -> None:
    body, properties, code = MALFORMED[name]
    async with rig(rabbitmq_url, sqlite_url, prefetch=1) as r:
        reply = await r.producer.submit(body, **properties)
        assert (reply["error"]["code"], reply["error"]["problems"]) == (code, [])
        message, row = await r.aside()
        assert (row.code, row.size, message.body) == (code, len(body), body)
        assert "accepted" in await r.producer.submit(jobs("a"))
        await eventually_empty(r)


@in_a_loop
async def test_a_message_without_an_id_is_put_aside_and_answered(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url, prefetch=1) as r:
        await r.producer.publish_raw(
            orjson.dumps(jobs("a")), Basic.Properties(user_id=r.producer.user_id, reply_to=r.producer.reply_to)
        )
        assert (await r.producer.reply())["error"]["code"] == "no_message_id"
        _, row = await r.aside()
        assert (row.code, row.message_id) == ("no_message_id", None)
        assert "accepted" in await r.producer.submit(jobs("b"))


UNREADABLE: dict[str, tuple[Basic.Properties, bytes, bytes]] = {
    "an id that is no UTF-8": (Basic.Properties(message_id="MARKMARK"), b"MARKMARK", b"\xff" * 8),
    "a header name that is no UTF-8": (Basic.Properties(headers={"MARKMARK": 1}), b"MARKMARK", b"\xfe" * 8),
    "a time beyond the calendar": (
        Basic.Properties(timestamp=datetime.fromtimestamp(0x41424344, tz=UTC)), b"\x00\x00\x00\x00ABCD", b"\x7f" * 8,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
@in_a_loop
async def test_properties_that_break_the_protocol_do_not_end_the_connection_again_and_again(
    rabbitmq_url: str, sqlite_url: str, name: str
) -> None:
    properties, mark, instead = UNREADABLE[name]
    async with rig(rabbitmq_url, sqlite_url, prefetch=4) as r:
        properties.user_id = r.producer.user_id
        await r.producer.publish_raw(orjson.dumps(jobs("a")), properties, lambda header: header.replace(mark, instead))
        message, row = await r.aside()
        assert (row.code, message.body) == ("unreadable_properties", orjson.dumps(jobs("a")))
        assert "accepted" in await r.producer.submit(jobs("b"))
        assert await r.rows(batches) != []
        await eventually_empty(r)


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "no user id": ({"user_id": None}, "no_user_id"),
    "a copy to another queue": ({"headers": {"CC": ["elsewhere"]}}, "forbidden_header"),
    "a dead letter": ({"headers": {"x-death": [{"count": 1}]}}, "forbidden_header"),
}


@pytest.mark.parametrize("name", UNKNOWN)
@in_a_loop
async def test_what_comes_from_nobody_known_is_put_aside_without_an_answer(
    rabbitmq_url: str, sqlite_url: str, name: str
) -> None:
    properties, code = UNKNOWN[name]
    async with rig(rabbitmq_url, sqlite_url) as r:
        await r.producer.publish(jobs("a"), **properties)
        message, row = await r.aside()
        assert (row.code, message.headers.get("CC")) == (code, None)
        assert await r.rows(batches) == []
        assert "accepted" in await r.producer.submit(jobs("b"))  # the first reply there is


@in_a_loop
async def test_a_user_without_a_project_is_put_aside(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url, projects={"somebody-else": "lab"}) as r:
        await r.producer.publish(jobs("a"))
        _, row = await r.aside()
        assert (row.code, row.user_id) == ("unknown_user", r.producer.user_id)


@in_a_loop
async def test_what_was_said_is_in_no_row_and_no_reason(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        canary = "canary-51b2"
        said = (jobs(batch=canary * 20), jobs(**{canary: 1}), jobs(kind=canary), jobs(jobs=[{canary: 1}]))
        for message in said:
            await r.producer.publish(message, reply_to=None)
        rows = await r.noted(len(said))
        messages = await taken(rabbitmq_url, f"{r.prefix}penstock.quarantine", len(said))
        assert len(rows) == len(said)
        assert canary not in repr(rows)
        assert canary not in repr([dict(message.headers) for message in messages])


@in_a_loop
async def test_replies_carry_the_correlation_id_or_else_the_message_id(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url) as r:
        await r.producer.publish(jobs("a"), message_id="m1", correlation_id="c1")
        await r.producer.publish(jobs("b"), message_id="m2")
        async with asyncio.timeout(20):
            told = {(await r.producer.replies.get()).correlation_id for _ in range(2)}
        assert told == {"c1", "m2"}


@in_a_loop
async def test_a_reply_that_nobody_can_receive_costs_nothing(rabbitmq_url: str, sqlite_url: str) -> None:
    async with rig(rabbitmq_url, sqlite_url, prefetch=1) as r:
        await r.producer.publish(jobs("a"), reply_to="no-such-queue")
        assert (await r.producer.submit(jobs("b")))["accepted"]["first_position"] == 1
        await eventually_empty(r)


@in_a_loop
async def test_no_reply_is_sent_to_a_queue_of_ours(rabbitmq_url: str, sqlite_url: str) -> None:
    """Whoever could name one would have us write into it, with our permissions."""
    async with rig(rabbitmq_url, sqlite_url, prefetch=1) as r:
        await r.producer.publish(jobs("a"), reply_to=f"{r.prefix}penstock.submit")
        for position in (1, 2):  # whatever we had sent ourselves is worked on before the last of these
            assert (await r.producer.submit(jobs("b")))["accepted"]["first_position"] == position
        assert await r.rows(quarantine) == []  # where our own reply would have ended
        await eventually_empty(r)


def strange_messages(most: int) -> list[tuple[bytes, dict[str, str]]]:
    """Bodies and properties from nonsense to nearly right."""
    text = st.text(st.characters(codec="utf-8"), max_size=20)
    near = st.sampled_from([body for body, _, _ in MALFORMED.values() if len(body) < 100_000])
    cut = st.builds(lambda body, at: body[: at % (len(body) + 1)], near, st.integers(0, 10_000))
    value = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )
    said = st.fixed_dictionaries(
        {"version": st.just(1) | value, "kind": st.sampled_from(["jobs", "seal", "subscribe", "unsubscribe"])},
        optional={"jobs": st.lists(value | st.just(a_job("a")), max_size=3) | value, "batch": value, "name": value},
    )
    bodies = st.binary(max_size=200) | cut | said.map(lambda message: json.dumps(message).encode())
    properties = st.fixed_dictionaries(
        {}, optional={"message_id": text, "content_type": text, "correlation_id": text, "content_encoding": text}
    )
    made: list[tuple[bytes, dict[str, str]]] = []

    @settings(max_examples=most, suppress_health_check=list(HealthCheck), deadline=None, database=None)
    @given(bodies, properties)
    def collect(body: bytes, given_properties: dict[str, str]) -> None:
        made.append((body, given_properties))

    collect()
    return made


@in_a_loop
async def test_no_bytes_and_no_properties_stop_the_intake(rabbitmq_url: str, sqlite_url: str) -> None:
    messages = strange_messages(200)
    async with rig(rabbitmq_url, sqlite_url, prefetch=4) as r:
        for body, properties in messages:
            await r.producer.publish(body, reply_to=None, **properties)
        assert "accepted" in await r.producer.submit(jobs("a"), message_id="the last one")
        await eventually_empty(r)
        rows, done = await r.rows(quarantine), await r.rows(submissions)
        assert len(rows) + len(done) > 100
        assert not [row for row in rows if row.code in ("defect", "database_refused")]


async def eventually_empty(r: Rig) -> None:
    """Wait until nothing is left of what was submitted, acked or not."""
    await eventually(lambda: r.intake._in_hand == 0)
    assert await depth(r.url, f"{r.prefix}penstock.submit") == 0

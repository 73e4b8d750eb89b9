"""A fleet whose accounts speak three protocols: batches of each form, several answers, and a killed worker."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from broker.domain.batch import BatchState
from broker.store.tables import part_answers
from broker.testing.judge import read_books
from broker.testing.simulator import simulator
from tests.chaos.installation import MODEL, Installation, Pool
from tests.shared_fleet import ROLES, fleet_on
from workers.provider_sim.answers import expected_text

ROWS = 24
WITHIN_S = 60.0
ACCOUNTS = {"north": "openai", "east": "anthropic", "west": "gemini"}
KEYS = "".join(f'[[keys]]\nname = "{name}"\n' for name in ACCOUNTS)
SIM = f"[latency]\nfirst_token_s = 0.1\n[usage]\ncached_share = 0.2\nreasoning_share = 0.1\n{KEYS}"
PROOF = re.compile(r"\w+ \[[0-9a-f]{16}\]")
"""The text of an answer, wherever it stands."""
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def fleet(tmp_path: Path, postgres_server: dict[str, str], rabbitmq_url: str, redis_url: str) -> Iterator[Installation]:
    pools = [Pool(name=name, provider=provider, worker_concurrency=4) for name, provider in ACCOUNTS.items()]
    servers = {"postgres": postgres_server["server"], "rabbitmq": rabbitmq_url, "redis_url": redis_url}
    with simulator(tmp_path, SIM) as sim, fleet_on(tmp_path, sim, pools, **servers) as fleet:
        yield fleet


def prompt(form: str, number: int) -> str:
    return f"{form} question {number}"


def chat(number: int) -> dict[str, Any]:
    said = [{"role": "user", "content": prompt("chat", number)}]
    body = {"model": MODEL, "messages": said, "max_completion_tokens": 60, "n": 3}
    return {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}


def response(number: int) -> dict[str, Any]:
    body = {"model": MODEL, "input": prompt("responses", number), "max_output_tokens": 60}
    return {"custom_id": str(number), "method": "POST", "url": "/v1/responses", "body": body}


def message(number: int) -> dict[str, Any]:
    said = [{"role": "user", "content": prompt("messages", number)}]
    return {"custom_id": str(number), "params": {"model": MODEL, "max_tokens": 60, "messages": said}}


def generated(number: int) -> dict[str, Any]:
    said = [{"role": "user", "parts": [{"text": prompt("gemini", number)}]}]
    settings = {"maxOutputTokens": 60, "candidateCount": 2}
    return {"key": str(number), "request": {"model": MODEL, "contents": said, "generationConfig": settings}}


FORMS = {"chat": (chat, 3), "responses": (response, 1), "messages": (message, 1), "gemini": (generated, 2)}
"""Rows of each form, and the answers to each row."""


def submitted(fleet: Installation) -> Mapping[str, int]:
    """Submit a batch of each form; returns their numbers."""
    numbers = {}
    for form, (row, _) in FORMS.items():
        path = fleet.folder / f"{form}.jsonl"
        path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(ROWS)))
        numbers[form] = fleet.submit_file(path)
    return numbers


def test_batches_of_each_form_are_answered_by_workers_of_three_protocols(fleet: Installation) -> None:
    numbers = submitted(fleet)
    fleet.serve(1, *ROLES)
    workers = [fleet.worker(name) for name in ACCOUNTS]

    async def scenario() -> None:
        await fleet.present(len(workers))
        await fleet.done(numbers["chat"], ROWS // 4, WITHIN_S)
        workers[1].kill()
        fleet.worker("east")
        for form, batch_id in numbers.items():
            batch = await fleet.finished(batch_id, WITHIN_S)
            assert (batch.state, batch.counts.succeeded) == (BatchState.COMPLETED, ROWS)
            await answered(fleet, form, batch_id)
        await paid(fleet, list(numbers.values()))

    asyncio.run(scenario())


async def answered(fleet: Installation, form: str, batch_id: int) -> None:
    """Each row has as many answers as were asked for, all of them to its own prompt."""
    told = {str(row["custom_id"]): row["body"].decode() for row in (await fleet.books(batch_id)).results}
    _, answers = FORMS[form]
    assert {name: PROOF.findall(body) for name, body in told.items()} == {
        str(number): [expected_text(prompt(form, number))] * answers for number in range(ROWS)
    }


async def paid(fleet: Installation, batch_ids: Sequence[int]) -> None:
    """Every paid call is one of our attempts, with the tokens that were charged."""
    database = fleet.opened()
    try:
        rows = [row for each in batch_ids for row in (await read_books(database, each)).attempts]
        left = await database.read(
            lambda connection: connection.execute(select(func.count()).select_from(part_answers)).scalar_one()
        )
    finally:
        await database.close()
    assert left == 0
    ours = {row["attempt_id"]: row for row in rows}
    extra = 0
    for call in fleet.sim.ledger():
        attempt = ours[call["client_request_id"]]
        if attempt["state"] == "unknown":
            extra += 1
            continue
        assert attempt["state"] == "ok"
        assert (attempt["input_tokens"], attempt["output_tokens"]) == (call["input_tokens"], call["output_tokens"])
        assert attempt["cache_read_tokens"] == call["cached_tokens"]
        assert attempt["reasoning_tokens"] == call["reasoning_tokens"]
    assert extra <= 4  # what the killed worker had in flight
    assert {row["account"] for row in rows if row["state"] == "ok"} == set(ACCOUNTS)

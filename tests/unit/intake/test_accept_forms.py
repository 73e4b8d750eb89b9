"""Inputs of other forms become batches of that form."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from broker.domain.dialect import Dialect
from broker.domain.form import BatchForm
from broker.domain.job import Endpoint
from broker.domain.loss import OnLoss
from broker.errors import CallerError
from broker.intake.accept import Accepted, IntakeRefused, accept
from broker.intake.layout import layout_of
from broker.intake.options import InputOptions
from broker.intake.source import Source
from broker.store import batches, manifest, results
from broker.store.engine import Database, open_database
from broker.store.segment import SegmentJob, read_segment, unpack_line
from broker.testing.builders import a_submission

ROUTES = frozenset({"m", "m+use:research"})


def an_entry(name: str, **params: Any) -> dict[str, Any]:
    return {"custom_id": name, "params": {"model": "m", "max_tokens": 9, "messages": [1]} | params}


def with_a_database(url: str, scenario: Callable[[Database], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        database = open_database(url)
        try:
            await scenario(database)
        finally:
            await database.close()

    asyncio.run(run())


async def hand_in(database: Database, folder: Path, rows: list[dict[str, Any]], **said: Any) -> Accepted:
    path = folder / "jobs.json"
    path.write_text(json.dumps({"requests": rows}, indent=1))
    source = Source(name="jobs.json", path=path)
    layout = layout_of(source)
    lenient = said.pop("lenient", False)
    new = a_submission(dialect=layout.form, **said)
    return await accept(database, source, new, routes=ROUTES, scratch=folder, layout=layout, lenient=lenient)


async def stored(database: Database, batch_id: int) -> list[tuple[str, SegmentJob]]:
    """The jobs of a batch of one segment, and the route of each."""
    (row,) = await database.read(manifest.segment_rows, batch_id)
    return [(row.route, unpack_line(line)) for line in read_segment(await database.read(manifest.payload, batch_id, 0))]


def test_a_batch_keeps_its_form_and_what_was_said_of_it(sqlite_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        rows = [an_entry("a"), an_entry("b")]
        accepted = await hand_in(database, tmp_path, rows, on_loss=OnLoss.DROP, use="research")
        batch = await database.read(batches.get, accepted.batch_id)
        assert (batch.form, batch.on_loss, batch.use) == (BatchForm.ANTHROPIC, OnLoss.DROP, "research")
        jobs = await stored(database, accepted.batch_id)
        assert [(route, job.custom_id, job.endpoint, job.on_loss) for route, job in jobs] == [
            ("m+use:research", "a", Endpoint.MESSAGES, OnLoss.DROP),
            ("m+use:research", "b", Endpoint.MESSAGES, OnLoss.DROP),
        ]
        assert [json.loads(job.body) for _, job in jobs] == [row["params"] for row in rows]

    with_a_database(sqlite_url, scenario)


def test_rows_of_one_object_are_named_by_their_number(sqlite_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        rows = [an_entry("a"), an_entry("b", max_tokens=0), an_entry("a"), an_entry("c", model="x")] * 2
        with pytest.raises(IntakeRefused) as refused:
            await hand_in(database, tmp_path, rows)
        assert refused.value.problems == [
            "request 2: params.max_tokens must be a whole number, 1 or more",
            'request 3: custom_id "a" was used before, in request 1',
            'request 4: no account serves the model "x"; known are "m" (and in 1 more request)',
            'request 5: custom_id "a" was used before, in request 1',
            "request 6: params.max_tokens must be a whole number, 1 or more",
            'request 7: custom_id "a" was used before, in request 1',
        ]

    with_a_database(sqlite_url, scenario)


def test_bad_requests_of_a_lenient_batch_fail_by_themselves(sqlite_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        rows = [an_entry("a"), {"custom_id": "b", "body": {}}, an_entry("c")]
        accepted = await hand_in(database, tmp_path, rows, lenient=True)
        (failed,) = await database.read(results.after, accepted.batch_id, 0, 10)
        assert (failed.position, failed.custom_id, failed.error_code) == (1, "b", "other_form")
        assert [job.position for _, job in await stored(database, accepted.batch_id)] == [0, 2]

    with_a_database(sqlite_url, scenario)


def test_the_identity_of_an_input_covers_what_is_said_of_it() -> None:
    said = [
        InputOptions(),
        InputOptions(dialect=Dialect.OPENAI_CHAT),
        InputOptions(dialect=Dialect.OPENAI_RESPONSES),
        InputOptions(model="m"),
        InputOptions(use="m"),
        InputOptions(on_loss=OnLoss.DROP),
        InputOptions(on_loss=OnLoss.DROP, use="m"),
    ]
    known = [options.identity("digest") for options in said]
    assert len(set(known)) == len(said)
    assert known == [options.identity("digest") for options in said]
    assert known[0] == "digest"
    assert InputOptions(on_loss=OnLoss.FAIL).identity("digest") == "digest"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 513, "m+use:research"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    for options in (InputOptions(model=name), InputOptions(use=name)):
        with pytest.raises(CallerError, match="that is no name"):
            options.check()
    InputOptions(model="openai/gpt-5@azure", use="non-commercial").check()

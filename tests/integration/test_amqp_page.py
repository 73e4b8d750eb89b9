"""The producer in docs/explanation/amqp.md does what the page says."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from broker.store.engine import open_database
from tests.amqp_rig import a_prefix, an_intake, cleaned, in_a_loop

PAGE = Path(__file__).resolve().parents[2] / "docs/explanation/amqp.md"


@in_a_loop
async def test_the_producer_of_the_page_is_accepted(rabbitmq_url: str, sqlite_url: str) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    database = open_database(sqlite_url)
    try:
        async with cleaned(rabbitmq_url, a_prefix()) as prefix, an_intake(rabbitmq_url, database, prefix=prefix):
            producer = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                example[1].replace('"penstock.submit"', f'"{prefix}penstock.submit"'),
                env={**os.environ, "AMQP_URL": rabbitmq_url},  # noqa: TID251 - the example's own variable
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(30):
                printed, trouble = await producer.communicate()
    finally:
        await database.close()
    assert producer.returncode == 0, trouble.decode()
    told = json.loads(printed.decode().replace("'", '"'))
    assert told == {"accepted": {"batch_id": 1, "batch": "nightly", "first_position": 0, "jobs": 1}}

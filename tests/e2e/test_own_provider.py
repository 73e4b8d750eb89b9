"""A provider that the catalog does not have: lines in the user's own configuration, and no code."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.testing.simulator import Simulator, simulator
from tests.e2e.command_line import Folder, prompt
from workers.provider_sim.answers import expected_text

ROWS = 20
ACCOUNT = """
[[accounts]]
name = "{name}"
provider = "{provider}"
api_key = "env:KEY_0"
models = {{ m = "org/m:fastest" }}
limits = {{ requests_per_minute = 60_000 }}
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("provider"), '[[keys]]\nname = "good"\n') as running:
        yield running


def drained(folder: Path, account: str, provider: str) -> Folder:
    """Run a batch of chats on one account of one provider, both as they stand in the file."""
    made = Folder(folder)
    (folder / "penstock.toml").write_text(account + provider)
    made.keys = {"KEY_0": "good"}
    made.jobs(ROWS)
    checked = made.run("accounts", "check")
    assert checked.code == 0, checked.out
    done = made.run("run", "jobs.jsonl", "--output", "out.jsonl", "--json")
    assert done.code == 0, done.err
    return made


def right_answers() -> dict[str, str]:
    return {f"row-{number}": expected_text(prompt(number)) for number in range(ROWS)}


def test_a_compatible_provider_is_three_lines(tmp_path: Path, provider: Simulator) -> None:
    lines = f'[providers.acme]\nbase_url = "{provider.base_url}"\nkey_env = "ACME_API_KEY"\n'
    folder = drained(tmp_path, ACCOUNT.format(name="ours", provider="acme"), lines)
    assert folder.answers() == right_answers()
    assert {line["response"]["body"]["model"] for line in folder.lines()} == {"org/m:fastest"}


def test_a_provider_of_another_protocol_at_urls_of_its_own_is_data_too(tmp_path: Path, provider: Simulator) -> None:
    """As Vertex is: the words of Gemini, with project and publisher in the URL and a token in place of a key."""
    root = provider.base_url.removesuffix("/v1")
    lines = f"""
[providers.cloud]
base_url = "{root}/v1/projects/p/locations/eu/publishers/google"
protocols = ["gemini-generateContent"]
paths = {{ "gemini-generateContent" = "/models/{{model}}:{{method}}" }}
"""
    account = ACCOUNT.format(name="ours", provider="cloud").replace("org/m:fastest", "m")
    folder = drained(tmp_path, account, lines)
    assert folder.answers() == right_answers()


def test_a_provider_that_wants_its_key_elsewhere_gets_it_there(tmp_path: Path, provider: Simulator) -> None:
    lines = f"""
[providers.proxy]
base_url = "{provider.base_url.removesuffix("/v1")}"
protocols = "anthropic-messages"
auth_header = "x-api-key"
auth_scheme = ""
header_dialect = "anthropic"
"""
    folder = drained(tmp_path, ACCOUNT.format(name="ours", provider="proxy"), lines)
    assert folder.answers() == right_answers()

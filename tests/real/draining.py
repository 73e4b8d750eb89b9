"""A user's folder whose account is a real server, and what the ledger says of it afterwards."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from tests.e2e.command_line import Ended, Folder
from tests.real.servers import MODEL, SLOTS, Server

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
_ACCOUNT = """
[[accounts]]
name = "home"
provider = "llama.cpp"
base_url = "{base_url}"
{more}
models = {{ "my-model" = "{model}" }}
limits = {{ concurrency = {slots} }}
timeout_seconds = 60
prices = {{ "my-model" = {{ input = 0, output = 0 }} }}
"""
Bodies = Mapping[str, Mapping[str, Any]]


class Drained(Folder):
    """Batches drained through one real server."""

    def use(self, server: Server, *, key: str | None = None, protocol: str = "", caps: str = "") -> None:
        """Write penstock.toml; `key` is sent if it is given, `protocol` and `caps` go before the provider's."""
        base_url = server.url if protocol == "anthropic-messages" else server.base_url
        more = [f'protocol = "{protocol}"'] if protocol else []
        more += [f'caps = {{ "my-model" = {{ {caps} }} }}'] if caps else []
        more += [] if key is None else ['api_key = "env:HOME_KEY"']
        self.keys = {} if key is None else {"HOME_KEY": key}
        text = _ACCOUNT.format(base_url=base_url, more="\n".join(more), model=MODEL, slots=SLOTS)
        (self.path / "penstock.toml").write_text(text)

    def drain(self, bodies: Bodies, url: str = CHAT, name: str = "jobs") -> Ended:
        """Run a batch of these bodies, by `custom_id`; its output is `NAME.out.jsonl`."""
        self.write(bodies, url, name)
        return self.run("run", f"{name}.jsonl", "--output", f"{name}.out.jsonl", "--json")

    def write(self, bodies: Bodies, url: str = CHAT, name: str = "jobs") -> None:
        rows = [
            {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": "my-model", **body}}
            for custom_id, body in bodies.items()
        ]
        (self.path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def results(self, name: str = "jobs") -> dict[str, dict[str, Any]]:
        """Output lines by `custom_id`; fails if one is there twice."""
        lines = self.lines(f"{name}.out.jsonl")
        found = {line["custom_id"]: line for line in lines}
        assert len(found) == len(lines)
        return found

    def bodies(self, name: str = "jobs") -> dict[str, dict[str, Any]]:
        """Bodies of the successes by `custom_id`."""
        return {
            custom_id: line["response"]["body"]
            for custom_id, line in self.results(name).items()
            if line["response"] and line["response"]["status_code"] == 200
        }

    def attempts(self) -> list[dict[str, Any]]:
        """Every call in the ledger, in the order of rows and tries."""
        with closing(sqlite3.connect(self.path / "penstock.db")) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute("select * from attempts order by batch_id, position, number").fetchall()
        return [dict(row) for row in found]


def chat(text: str, **more: Any) -> dict[str, Any]:
    """Ask for the likeliest words: the same prompt has the same answer."""
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 40, **more}


def text_of(body: Mapping[str, Any]) -> str:
    content: str = body["choices"][0]["message"]["content"]
    return content


def finish_of(body: Mapping[str, Any]) -> str:
    finish: str = body["choices"][0]["finish_reason"]
    return finish

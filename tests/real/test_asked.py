"""What a real server says of itself, as `penstock accounts check` tells it."""

import json

from tests.real.conftest import Started
from tests.real.draining import Drained
from tests.real.servers import CONTEXT, MODEL, SLOTS, Kind


def test_llama_server_says_its_version_its_window_and_its_slots(started: Started, drained: Drained) -> None:
    drained.use(started(Kind.LLAMA_SERVER))
    ended = drained.run("accounts", "check", "home", "--json")
    assert ended.code == 0, ended.err
    (finding,) = json.loads(ended.out)
    assert finding["server"]["engine"] == "llama.cpp"
    assert finding["server"]["version"].startswith("b")
    assert finding["server"]["models"] == [MODEL]
    assert finding["server"]["context_windows"] == {"": CONTEXT}
    assert finding["server"]["slots"] == SLOTS


def test_a_server_without_such_pages_is_checked_all_the_same(started: Started, drained: Drained) -> None:
    """llama-cpp-python lists its models, and says no more."""
    drained.use(started(Kind.PYTHON))
    ended = drained.run("accounts", "check", "home", "--json")
    assert ended.code == 0, ended.err
    (finding,) = json.loads(ended.out)
    assert finding["ok"]
    assert finding["server"]["models"] == [MODEL]
    assert finding["server"]["slots"] is None

import pytest

from broker.domain.job import Endpoint
from broker.errors import ConfigError
from broker.protocols.wire import OPENAI, protocol_named


def test_a_protocol_is_found_by_its_name() -> None:
    assert protocol_named("openai") is OPENAI


def test_an_unknown_protocol_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'smoke-signals' is not supported by this version; known: openai"):
        protocol_named("smoke-signals")


@pytest.mark.parametrize("base_url", ["https://api.example.org/v1", "https://api.example.org/v1/"])
def test_every_endpoint_has_a_place_below_the_base_url(base_url: str) -> None:
    assert OPENAI.url(base_url, Endpoint.CHAT_COMPLETIONS) == "https://api.example.org/v1/chat/completions"
    assert {OPENAI.url(base_url, endpoint) for endpoint in (CHAT, EMBEDDINGS)}


CHAT = Endpoint.CHAT_COMPLETIONS
EMBEDDINGS = Endpoint.EMBEDDINGS


@pytest.mark.parametrize(
    ("endpoint", "request_body", "items"),
    [
        (CHAT, {}, 1),
        (CHAT, {"n": None}, 1),
        (CHAT, {"n": 3}, 3),
        (CHAT, {"n": "3"}, None),
        (EMBEDDINGS, {"input": "one"}, 1),
        (EMBEDDINGS, {"input": ["one", "two"]}, 2),
        (EMBEDDINGS, {"input": [1, 2, 3]}, 1),
        (EMBEDDINGS, {"input": [[1, 2], [3]]}, 2),
        (EMBEDDINGS, {"input": []}, None),
        (EMBEDDINGS, {}, None),
    ],
)
def test_a_request_says_how_many_items_it_wants(
    endpoint: Endpoint,
    request_body: dict[str, object],
    items: int | None,
) -> None:
    assert OPENAI.items_asked_for(endpoint, request_body) == items

"""The endpoints of Gemini that cost money, found by the end of their paths, and its pages of models."""

import re
from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import Call, EmbeddingCall, TextCall
from workers.provider_sim.gemini import answers, embeddings, errors, headers
from workers.provider_sim.gemini.requests import read_content
from workers.provider_sim.generation import Generated
from workers.provider_sim.vendor import Body, Endpoint, Issue, Vendor

GEMINI = Vendor(errors=errors, headers=headers)
_PATH = re.compile(
    r"/(?P<version>v1|v1beta|v1alpha|v1beta1)"
    r"(?P<publisher>(?:/projects/[^/]+/locations/[^/]+)?/publishers/[^/]+)?"
    r"/models/(?P<model>[^/:]+):(?P<verb>generateContent|embedContent|batchEmbedContents)"
)
_PAGE = re.compile(r"/v1(?:beta|alpha)?/models(?:/(?P<name>[^/:]+))?")


class Paths:
    """Finds the endpoint and the model in a path."""

    def __init__(self, default_dimensions: int) -> None:
        self._dimensions = default_dimensions
        self._known: dict[str, Endpoint] = {}

    def find(self, path: str) -> tuple[Endpoint, str] | None:
        """Return the endpoint of a path and the model that it names, `None` when it is none of ours."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        middle = "/publishers/{publisher}" if found["publisher"] else ""
        label = f"/{found['version']}{middle}/models/{{model}}:{found['verb']}"
        endpoint = self._known.get(label)
        if endpoint is None:
            endpoint = self._known[label] = self._endpoint(label, found["verb"], is_vertex=bool(middle))
        return endpoint, found["model"]

    def _endpoint(self, label: str, verb: str, *, is_vertex: bool) -> Endpoint:
        def read(model: str, body: Body, headers: Mapping[str, str]) -> Call:  # noqa: ARG001 - says all in its body
            match verb:
                case "embedContent":
                    return embeddings.read_one(model, body, self._dimensions)
                case "batchEmbedContents":
                    return embeddings.read_many(model, body, self._dimensions)
            return read_content(model, body, needs_role=is_vertex)

        def render(call: Call, generated: Generated, issue: Issue) -> bytes:
            match call:
                case TextCall():
                    return answers.content(call, generated, issue)
                case EmbeddingCall():
                    write = embeddings.many if verb == "batchEmbedContents" else embeddings.one
                    return write(call, generated, issue)

        return Endpoint(path=label, vendor=GEMINI, read=read, render=render, failed=answers.failed)


def model_page(path: str) -> str | None:
    """Return the name that a page of models is asked for, empty for all of them, `None` when it is no such page."""
    found = _PAGE.fullmatch(path)
    return None if found is None else found["name"] or ""


def model_list(models: tuple[str, ...]) -> bytes:
    """Return what `GET /v1beta/models` answers, all of it on one page."""
    return orjson.dumps({"models": [_model(name) for name in models]})


def one_model(name: str) -> bytes:
    """Return what `GET /v1beta/models/NAME` answers."""
    return orjson.dumps(_model(name))


def _model(name: str) -> dict[str, JsonValue]:
    return {
        "name": f"models/{name}",
        "displayName": name,
        "version": "001",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "embedContent", "batchEmbedContents"],
    }

"""The endpoint of Anthropic that costs money, and its pages of models."""

from datetime import UTC, datetime

import orjson
from pydantic import JsonValue

from workers.provider_sim.anthropic import answers, errors, headers
from workers.provider_sim.anthropic.requests import read_message
from workers.provider_sim.call import Call, TextCall
from workers.provider_sim.generation import Generated
from workers.provider_sim.vendor import Endpoint, Issue, Vendor

MESSAGES_PATH = "/v1/messages"
ANTHROPIC = Vendor(errors=errors, headers=headers)


def endpoints() -> dict[str, Endpoint]:
    """By path."""
    return {
        MESSAGES_PATH: Endpoint(
            path=MESSAGES_PATH, vendor=ANTHROPIC, read=read_message, render=_render, failed=answers.failed
        )
    }


def _render(call: Call, generated: Generated, issue: Issue) -> bytes:
    if not isinstance(call, TextCall):
        raise TypeError("only texts are read here")
    return answers.message(call, generated, issue)


def model_list(models: tuple[str, ...], created: int) -> bytes:
    """Return what `GET /v1/models` answers, all of it on one page."""
    data: list[JsonValue] = [_model(name, created) for name in models]
    return orjson.dumps({"data": data, "has_more": False, "first_id": models[0], "last_id": models[-1]})


def one_model(name: str, created: int) -> bytes:
    """Return what `GET /v1/models/NAME` answers."""
    return orjson.dumps(_model(name, created))


def _model(name: str, created: int) -> dict[str, JsonValue]:
    moment = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"id": name, "type": "model", "display_name": name, "created_at": moment, "lifecycle": "active"}

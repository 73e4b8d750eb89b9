"""The AsyncAPI document of what other programs may publish and receive, by FastStream's own generator."""

import json
from collections.abc import Sequence

from faststream.rabbit import RabbitBroker, RabbitRouter
from faststream.specification import AsyncAPI

_ANYWHERE = "amqp://your-rabbitmq/"


def document(routers: Sequence[RabbitRouter], *, title: str, version: str, description: str) -> str:
    """Return it as JSON, the same wherever and whenever it is made."""
    rabbit = RabbitBroker(_ANYWHERE, routers=routers, logger=None)
    made = AsyncAPI(rabbit, title=title, version=version, description=description).to_specification()
    return json.dumps(json.loads(made.to_json()), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

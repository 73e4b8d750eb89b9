"""Writes `docs/reference/asyncapi.json`: `python -m broker.cli.asyncapi > docs/reference/asyncapi.json`.

A test fails when the file is stale.
"""

import sys

from broker.delivery.amqp import shapes as results
from broker.intake.amqp import channels as submissions
from broker.intake.amqp.shapes import VERSION
from broker.transport.public.addresses import Addresses
from broker.transport.public.document import document

_DESCRIPTION = """\
What a producer publishes to RabbitMQ, and what it receives. The names are those without a prefix. \
How to use it: docs/explanation/amqp.md."""


def generated() -> str:
    """Return the whole document."""
    addresses = Addresses.under("")
    routers = (submissions.described(addresses), results.described(addresses))
    return document(routers, title="Penstock over AMQP", version=str(VERSION), description=_DESCRIPTION)


if __name__ == "__main__":
    sys.stdout.write(generated())

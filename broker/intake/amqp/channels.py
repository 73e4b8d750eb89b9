"""Where submissions are published and consumed, as FastStream takes and documents it."""

from typing import Any

from faststream.rabbit import ExchangeType, QueueType, RabbitExchange, RabbitQueue, RabbitRouter

from broker.intake.amqp import shapes
from broker.transport.public.addresses import Addresses
from broker.transport.rabbitmq.topology import QUEUE_ARGUMENTS


def exchange(addresses: Addresses) -> RabbitExchange:
    """Where producers publish; any routing key will do."""
    return RabbitExchange(addresses.submit, type=ExchangeType.FANOUT, durable=True, robust=False)


def queue(addresses: Addresses) -> RabbitQueue:
    """Where submissions wait until they are accepted."""
    arguments: Any = {name: value for name, value in QUEUE_ARGUMENTS.items() if name != "x-queue-type"}
    return RabbitQueue(addresses.submit, queue_type=QueueType.QUORUM, durable=True, arguments=arguments, robust=False)


def described(addresses: Addresses) -> RabbitRouter:
    """Submissions and replies for the AsyncAPI document; it consumes nothing."""
    router = RabbitRouter()

    @router.subscriber(queue(addresses), exchange(addresses), title="Submit", description=_SUBMIT, no_reply=True)
    async def submit(message: shapes.Submission) -> None: ...

    router.publisher(
        "{reply_to}", title="Replies", description=_REPLIES, schema=shapes.Reply, persist=True, mandatory=True
    )
    return router


_SUBMIT = """\
Publish to the exchange of the same name (fanout: the routing key does not matter) to submit jobs, to seal a batch, \
and to subscribe to results. Properties: `message_id` is required, \
unique in the project, and makes a repeat harmless; `user_id` is required and must be the user of the connection, \
which decides the project; `content_type` is `application/json`; `reply_to` and `correlation_id` ask for a reply. \
Publish persistently and wait for the confirm. The headers CC, BCC and x-death are refused."""
_REPLIES = """\
The reply to a submission, on the default exchange, to the queue in its `reply_to`, with its `correlation_id` (or \
else its `message_id`). A repeat of an accepted submission gets the very same reply."""

"""What subscribers receive: the shapes of the AsyncAPI document. Bodies are written as batch output lines are."""

from typing import Annotated, Any, Literal

from faststream.rabbit import QueueType, RabbitQueue, RabbitRouter
from pydantic import BaseModel, Field, RootModel

from broker.transport.public.addresses import Addresses
from broker.transport.rabbitmq.topology import QUEUE_ARGUMENTS

RESULT = "penstock.result"
BATCH_ENDED = "penstock.batch"
"""Types of messages."""


class Response(BaseModel):
    """What a provider answered, whatever its status."""

    status_code: int
    request_id: str | None
    body: Annotated[Any, Field(description="The answer, byte for byte.")]


class ResultError(BaseModel):
    """Why there is no answer."""

    code: str | None
    message: str | None


class Result(BaseModel):
    """One finished job, as a line of an OpenAI batch output file."""

    id: Annotated[str, Field(examples=["batch_req_7_0"])]
    custom_id: str | None
    response: Response | None
    error: ResultError | None


class EndCounts(BaseModel):
    """Jobs by how they ended."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class BatchEnded(BaseModel):
    """Every job of the batch has its result, and all of them were sent before."""

    event: Literal["batch.completed"] = "batch.completed"
    batch_id: int
    batch: str | None
    state: Annotated[str, Field(examples=["completed", "cancelled"])]
    counts: EndCounts


class Delivered(RootModel[Result | BatchEnded]):
    """A result, or the end of a batch."""


def described(addresses: Addresses) -> RabbitRouter:
    """Results for the AsyncAPI document."""
    router = RabbitRouter()
    arguments: Any = {name: value for name, value in QUEUE_ARGUMENTS.items() if name != "x-queue-type"}
    name = f"{addresses.prefix}penstock.results.{{project}}.{{name}}"
    router.publisher(
        RabbitQueue(name, queue_type=QueueType.QUORUM, durable=True, arguments=arguments, robust=False),
        title="Results",
        description=_RESULTS,
        schema=Delivered,
        persist=True,
        mandatory=True,
    )
    return router


_RESULTS = f"""\
Results of a subscription, at least once. Headers: `project`, `batch` (its id), `seq` (from 1, without gaps, in the \
order of the batch), and for a result `position` (in the batch). `type` is `{RESULT}` or `{BATCH_ENDED}`; \
`message_id` is `<batch>-<seq>`. Take a message when its `seq` is one more than the last one that you took of its \
batch, and ack and ignore it otherwise: after a gap the missing ones come again, with all that follow them."""

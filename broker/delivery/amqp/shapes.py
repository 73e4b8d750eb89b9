"""What subscribers receive: the shapes of the AsyncAPI document. Bodies are written as lines of result files."""

from typing import Annotated, Any, Literal

from faststream.rabbit import QueueType, RabbitQueue, RabbitRouter
from pydantic import BaseModel, ConfigDict, Field, RootModel

from broker.transport.public.addresses import Addresses
from broker.transport.rabbitmq.topology import QUEUE_ARGUMENTS

RESULT = "penstock.result"
BATCH_ENDED = "penstock.batch"
"""Types of messages."""


class Warned(BaseModel):
    """One thing that an account's protocol could not say as the request did."""

    code: Annotated[str, Field(description="Stable.", examples=["unsupported_field"])]
    path: Annotated[str, Field(description="JSON pointer into the request.", examples=["/seed"])]
    detail: str
    loss_class: Annotated[Literal["hint", "sampling", "semantic", "content"], Field(alias="class")]


class _Result(BaseModel):
    """What every form has."""

    model_config = ConfigDict(extra="forbid")

    warnings: Annotated[
        list[Warned], Field(description="What was lost in translation; not there where nothing was.")
    ] = []


class Response(BaseModel):
    """What a provider answered, whatever its status."""

    status_code: int
    request_id: str | None
    body: Annotated[Any, Field(description="The answer, byte for byte.")]


class ResultError(BaseModel):
    """Why there is no answer."""

    code: str | None
    message: str | None


class Result(_Result):
    """One finished job, as a line of an OpenAI batch output file."""

    id: Annotated[str, Field(examples=["batch_req_7_0"])]
    custom_id: str | None
    response: Response | None
    error: ResultError | None


class Succeeded(BaseModel):
    """An answer."""

    type: Literal["succeeded"]
    message: Annotated[dict[str, Any], Field(description="The answer, byte for byte.")]


class Errored(BaseModel):
    """Why there is no answer, as Anthropic's API says it."""

    type: Literal["errored"]
    error: dict[str, Any]


class NeverRun(BaseModel):
    """The batch ended before this job was run."""

    type: Literal["canceled", "expired"]


class EntryResult(_Result):
    """One finished job of a batch of Anthropic entries, as a line of its results."""

    custom_id: str | None
    result: Annotated[Succeeded | Errored | NeverRun, Field(discriminator="type")]


class GeminiError(BaseModel):
    """Why there is no answer, as Gemini's API says it."""

    code: int
    message: str
    status: str


class GeminiResult(_Result):
    """One finished job of a batch of Gemini lines: `response`, or `error`."""

    key: str | None
    response: Annotated[dict[str, Any] | None, Field(description="The answer, byte for byte.")] = None
    error: GeminiError | None = None


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


class Delivered(RootModel[Result | EntryResult | GeminiResult | BatchEnded]):
    """A result in the form of its batch, or the end of a batch."""


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
Results of a subscription, at least once, in the form of their batch. Headers: `project`, `batch` (its id), `seq` \
(from 1, without gaps, in the order of the batch), and for a result `position` (in the batch). `type` is `{RESULT}` or \
`{BATCH_ENDED}`; `message_id` is `<batch>-<seq>`. Take a message when its `seq` is one more than the last you took \
of its batch, and ack and ignore it otherwise: after a gap the missing ones come again, with all that follow them."""

"""What producers publish, and what they are answered: the shapes of the AsyncAPI document.

A message of jobs is read with `JobsHead`, its jobs apart from it: they go on byte for byte, and are checked like the
rows of a batch file.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from broker.domain.dialect import Dialect
from broker.domain.form import BatchForm
from broker.domain.loss import OnLoss
from broker.intake.amqp.job_shapes import GeminiLine, JobEntry, JobLine
from broker.intake.forms.fields import MAX_CUSTOM_ID

VERSION = 1
MOST_JOBS = 1_000
STANDING = {form: "standing" if form is BatchForm.OPENAI else f"standing-{form}" for form in BatchForm}
"""The batch of jobs that name none: one per project and form, which is never sealed."""
_STANDING = frozenset(STANDING.values())
_MOST_IDLE_S = 30 * 86_400

BatchName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]+$",
        description="What the producer calls the batch; unique in its project.",
        examples=["nightly-2026-11-20"],
    ),
]
SubscriptionName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Names the queue of results: `penstock.results.<project>.<name>`.",
        examples=["dashboard"],
    ),
]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Annotated[Literal[1], Field(description="Of the message's form.")]


class JobsHead(_Message):
    """A message of jobs but for the jobs."""

    kind: Literal["jobs"]
    dialect: Annotated[
        Dialect | None,
        Field(
            strict=False,
            description="The language of the requests; without it the first job tells. Those of openai are also what "
            "jobs without a `url` ask for.",
        ),
    ] = None
    model: Annotated[
        str | None,
        Field(min_length=1, max_length=MAX_CUSTOM_ID, description="The model of jobs that name none."),
    ] = None
    on_loss: Annotated[
        OnLoss,
        Field(
            strict=False,
            description="What an account's protocol cannot express: `fail` the job before any call, or `drop` it and "
            "say so in the result. All messages of a batch say the same.",
        ),
    ] = OnLoss.FAIL
    use: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f-\x9f]+$",
            description="What the answers are for: accounts with just that licence may serve it, too. All messages "
            "of a batch say the same.",
            examples=["non-commercial"],
        ),
    ] = None
    batch: Annotated[
        BatchName | None,
        Field(
            description="Opened on first use; its jobs have one form. Without it the jobs join the project's batch "
            + ", ".join(f"`{name}`" for name in STANDING.values())
            + ", by their form."
        ),
    ] = None
    tag: Annotated[
        str,
        Field(
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f-\x9f]*$",
            description="A name to sum usage by. It counts in the message that opens the batch.",
        ),
    ] = ""
    weight: Annotated[
        float,
        Field(
            gt=0,
            le=1_000,
            description="Share beside other batches. It counts in the message that opens the batch.",
        ),
    ] = 1.0
    seal: Annotated[bool, Field(description="These are the last jobs of the batch.")] = False
    seal_after_s: Annotated[
        float | None,
        Field(
            gt=0,
            le=_MOST_IDLE_S,
            description="Seal the batch when so many seconds have gone by without another message for it.",
        ),
    ] = None

    @model_validator(mode="after")
    def _standing_stays_open(self) -> "JobsHead":
        if self.batch is not None and self.batch not in _STANDING:
            return self
        if self.seal or self.seal_after_s is not None:
            raise ValueError("a standing batch is never sealed; name another batch")
        if self.on_loss is not OnLoss.FAIL or self.use is not None:
            raise ValueError("a standing batch has neither on_loss nor use; name another batch")
        return self


class Jobs(JobsHead):
    """Jobs to run: all of them are accepted, or none."""

    jobs: Annotated[
        list[JobLine | JobEntry | GeminiLine],
        Field(min_length=1, max_length=MOST_JOBS, description="All of one form."),
    ]


class Seal(_Message):
    """No more jobs come for a batch: it completes when all of them have results."""

    kind: Literal["seal"]
    batch: BatchName

    @model_validator(mode="after")
    def _standing_stays_open(self) -> "Seal":
        if self.batch in _STANDING:
            raise ValueError("a standing batch is never sealed")
        return self


class Subscribe(_Message):
    """Send results to a queue: of one batch, or of all batches of the project, each from its first result on."""

    kind: Literal["subscribe"]
    name: SubscriptionName
    batch: Annotated[BatchName | None, Field(description="It must exist. Without it: all batches.")] = None


class Unsubscribe(_Message):
    """Send no more results. The queue stays, with what is in it."""

    kind: Literal["unsubscribe"]
    name: SubscriptionName


class Submission(RootModel[Annotated[Jobs | Seal | Subscribe | Unsubscribe, Field(discriminator="kind")]]):
    """What a producer publishes."""


class JobsAccepted(BaseModel):
    """The jobs are in the database: positions from `first_position` on."""

    batch_id: int
    batch: str
    first_position: int
    jobs: int


class SealAccepted(BaseModel):
    """The batch is sealed."""

    batch_id: int
    batch: str
    total: int


class SubscriptionAccepted(BaseModel):
    """Results go to this queue, or no longer do."""

    subscription: str
    queue: str
    active: bool


class RowProblem(BaseModel):
    """What is wrong with one job."""

    position: Annotated[int, Field(description="In the message, from 0.")]
    custom_id: str | None
    code: str
    message: str


class Error(BaseModel):
    """Why nothing of the message was accepted."""

    code: Annotated[str, Field(description="Stable.", examples=["id_conflict", "batch_sealed", "invalid_rows"])]
    message: str
    problems: Annotated[list[RowProblem], Field(description="Of single jobs, the first hundred.")] = []


class Accepted(BaseModel):
    """The answer to a message that was accepted; a repeat of the message gets the very same."""

    accepted: JobsAccepted | SealAccepted | SubscriptionAccepted


class Refused(BaseModel):
    """The answer to a message that was not accepted."""

    error: Error


class Reply(RootModel[Accepted | Refused]):
    """Sent to the queue in `reply_to`, with the message's `correlation_id`."""

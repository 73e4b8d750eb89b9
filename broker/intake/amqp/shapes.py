"""What producers publish, and what they are answered: the shapes of the AsyncAPI document.

A message of jobs is read with `JobsHead`, its jobs apart from it: they go on byte for byte, and are checked like the
rows of a batch file.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from broker.intake.forms.fields import MAX_CUSTOM_ID

VERSION = 1
MOST_JOBS = 1_000
STANDING = "standing"
"""The batch of jobs that name none: one per project, which is never sealed."""
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


class JobLine(BaseModel):
    """One request, as a line of an OpenAI batch file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    custom_id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_CUSTOM_ID,
            description="The producer's name of the job, unique in the message; it comes back with the result.",
        ),
    ]
    method: Literal["POST"] = "POST"
    url: Literal["/v1/chat/completions", "/v1/embeddings"]
    body: Annotated[
        dict[str, Any],
        Field(
            description="The request, passed on byte for byte. `model` names a route that some account serves.",
            examples=[{"model": "judge", "messages": [{"role": "user", "content": "Is water wet?"}]}],
        ),
    ]


class JobsHead(_Message):
    """A message of jobs but for the jobs."""

    kind: Literal["jobs"]
    batch: Annotated[
        BatchName | None,
        Field(description=f"Opened on first use. Without it the jobs join the project's batch `{STANDING}`."),
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
        if self.batch in (None, STANDING) and (self.seal or self.seal_after_s is not None):
            raise ValueError(f"the batch {STANDING} is never sealed; name another batch")
        return self


class Jobs(JobsHead):
    """Jobs to run: all of them are accepted, or none."""

    jobs: Annotated[list[JobLine], Field(min_length=1, max_length=MOST_JOBS)]


class Seal(_Message):
    """No more jobs come for a batch: it completes when all of them have results."""

    kind: Literal["seal"]
    batch: BatchName

    @model_validator(mode="after")
    def _standing_stays_open(self) -> "Seal":
        if self.batch == STANDING:
            raise ValueError(f"the batch {STANDING} is never sealed")
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

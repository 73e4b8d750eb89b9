"""Single jobs as producers publish them: in the form of each vendor's batch API."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from broker.domain.form import BatchForm
from broker.intake.forms.fields import MAX_CUSTOM_ID

JobName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_CUSTOM_ID,
        description="The producer's name of the job, unique in the message; it comes back with the result.",
    ),
]


class _Job(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobLine(_Job):
    """One request, as a line of an OpenAI batch file."""

    custom_id: JobName
    method: Literal["POST"] = "POST"
    url: Annotated[
        Literal["/v1/chat/completions", "/v1/responses", "/v1/embeddings"] | None,
        Field(description="It may be left out where `dialect` says what is meant."),
    ] = None
    body: Annotated[
        dict[str, Any],
        Field(
            description="The request, passed on byte for byte. `model` names a route that some account serves.",
            examples=[{"model": "judge", "messages": [{"role": "user", "content": "Is water wet?"}]}],
        ),
    ]


class JobEntry(_Job):
    """One request, as an entry of Anthropic's message batches."""

    custom_id: JobName
    params: Annotated[
        dict[str, Any],
        Field(
            description="The request, passed on byte for byte. `model` names a route that some account serves.",
            examples=[{"model": "judge", "max_tokens": 9, "messages": [{"role": "user", "content": "Is water wet?"}]}],
        ),
    ]


class GeminiMetadata(BaseModel):
    """What stands beside an inline request."""

    key: JobName


class GeminiLine(_Job):
    """One request, as a line of a Gemini batch file, or as an inline request."""

    key: JobName | None = None
    metadata: Annotated[GeminiMetadata | None, Field(description="Its `key` stands for one that is left out.")] = None
    request: Annotated[
        dict[str, Any],
        Field(
            description="The request, passed on byte for byte. `model` names a route that some account serves, behind "
            "`models/`; it may be left out where the message names one.",
            examples=[{"model": "models/judge", "contents": [{"parts": [{"text": "Is water wet?"}]}]}],
        ),
    ]

    @model_validator(mode="after")
    def _has_a_name(self) -> "GeminiLine":
        if self.key is None and self.metadata is None:
            raise ValueError("key is missing")
        return self


KEYS = {
    BatchForm.OPENAI: frozenset(JobLine.model_fields),
    BatchForm.ANTHROPIC: frozenset(JobEntry.model_fields),
    BatchForm.GEMINI: frozenset(GeminiLine.model_fields),
}
"""What a job of each form may have."""

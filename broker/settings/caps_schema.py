"""The shape of what an operator knows of a model: the facts of `broker.domain.caps`, each of which may be left out."""

from typing import Annotated

from pydantic import Field

from broker.domain.caps import ThinkingForm
from broker.settings.values import Label, PositiveCount, PositiveNumber, Section

Thinking = Annotated[ThinkingForm, Field(strict=False)]
Efforts = Annotated[list[Label], Field(min_length=1)]


class CapsSection(Section):
    """What one model takes. What is left out is as the catalog says, else as is safest; nothing here is sent."""

    sampling: bool | None = Field(default=None, description="Temperature, top_p and the like.", examples=[False])
    temperature_max: PositiveNumber | None = Field(default=None, description="The highest one.", examples=[1.0])
    temperature_with_top_p: bool | None = Field(default=None, description="Both at once.", examples=[False])
    penalties: bool | None = Field(default=None, description="Presence and frequency penalties.", examples=[False])
    seed: bool | None = Field(default=None, description="A seed.", examples=[False])
    logprobs: bool | None = Field(default=None, description="Log probabilities.", examples=[False])
    stop: bool | None = Field(default=None, description="Stop sequences.", examples=[False])
    choices: bool | None = Field(default=None, description="Several answers to one call.", examples=[False])
    thinking: Thinking | None = Field(
        default=None,
        description="How it is told how much to think: `none`, `effort`, `budget`, `adaptive` or `level`.",
        examples=["effort"],
    )
    efforts: Efforts | None = Field(
        default=None, description="The words for efforts, in growing order.", examples=[["low", "medium", "high"]]
    )
    thinking_off: bool | None = Field(default=None, description="Not to think at all.", examples=[False])
    thinking_budget_max: PositiveCount | None = Field(
        default=None, description="Tokens to think with at most.", examples=[24576]
    )
    mid_system: bool | None = Field(
        default=None, description="An operator's messages in mid-conversation.", examples=[True]
    )
    prefill: bool | None = Field(
        default=None, description="Continuing an assistant's message that stands last.", examples=[False]
    )
    images: bool | None = Field(default=None, description="Images.", examples=[False])
    documents: bool | None = Field(default=None, description="Documents.", examples=[False])
    audio: bool | None = Field(default=None, description="Audio.", examples=[False])
    structured_output: bool | None = Field(default=None, description="A JSON schema.", examples=[True])
    strict_tools: bool | None = Field(default=None, description="`strict` on a tool.", examples=[False])
    cache_marks: bool | None = Field(default=None, description="Explicit cache marks.", examples=[False])
    max_output_tokens: PositiveCount | None = Field(
        default=None,
        description="The most that it generates; sent where the protocol demands a limit and a job has none.",
        examples=[64000],
    )
    anthropic_version: Label | None = Field(
        default=None, description="The only `anthropic-version` it is served under.", examples=["2023-06-01"]
    )
    identity: bool | None = Field(
        default=None, description="OpenAI's `safety_identifier` and `service_tier`.", examples=[False]
    )
    output_limit_field: Label | None = Field(
        default=None, description="The chat field that caps the answer.", examples=["max_tokens"]
    )
    structured_output_field: Label | None = Field(
        default=None,
        description="The chat field that takes a JSON schema: `response_format`, or vLLM's `structured_outputs` or, "
        "before 0.12, `guided_json`.",
        examples=["guided_json"],
    )
    system_role: Label | None = Field(
        default=None, description="The chat role of an operator: `system` or `developer`.", examples=["developer"]
    )
    schema_field: Label | None = Field(
        default=None, description="Gemini's field for a JSON schema.", examples=["responseSchema"]
    )

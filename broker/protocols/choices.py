"""Several answers to one request: asked for with one number, and put together from several calls."""

from collections.abc import Sequence
from dataclasses import replace

from broker.domain.dialect import Dialect
from broker.domain.usage import Usage, UsageSource
from broker.protocols.canonical.answer import Answer
from broker.protocols.codec import Json

MOST_CHOICES = 128
"""What OpenAI gives to one request. Source: API reference, `n` of "Create chat completion"."""


def with_choices(body: Json, dialect: Dialect, choices: int) -> dict[str, object]:
    """The same request for another number of answers; a dialect without such a number asks for one anyway."""
    match dialect:
        case Dialect.OPENAI_CHAT:
            return {**body, "n": choices}
        case Dialect.GEMINI_GENERATE_CONTENT:
            key = "generation_config" if "generation_config" in body else "generationConfig"
            config = body.get(key)
            config = (
                {name: value for name, value in config.items() if name != "candidate_count"}
                if isinstance(config, dict)
                else {}
            )
            return {**body, key: {**config, "candidateCount": choices}}
        case _:
            return dict(body)


def joined(answers: Sequence[Answer]) -> Answer:
    """One answer of several, which are not empty: their outputs in a row, their usage in sum."""
    outputs = [output for answer in answers for output in answer.outputs]
    return replace(
        answers[0],
        outputs=tuple(replace(output, index=index) for index, output in enumerate(outputs)),
        usage=_sum([answer.usage for answer in answers]),
        usage_raw=None,
        notes=tuple(dict.fromkeys(note for answer in answers for note in answer.notes)),
    )


def _sum(usages: Sequence[Usage]) -> Usage:
    """What all used; a bucket that one of them does not know is unknown."""

    def total(name: str) -> int | None:
        counts = [getattr(usage, name) for usage in usages]
        return None if None in counts else sum(counts)

    sources = {usage.source for usage in usages}
    return Usage(
        input_tokens=total("input_tokens"),
        cache_read_tokens=total("cache_read_tokens"),
        cache_write_tokens=total("cache_write_tokens"),
        output_tokens=total("output_tokens"),
        reasoning_tokens=total("reasoning_tokens"),
        source=sources.pop() if len(sources) == 1 else UsageSource.ESTIMATED,
    )

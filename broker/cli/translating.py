"""What a translation looks like to people: requests as they would be sent, responses as they are understood."""

from typing import Any

import orjson

from broker.domain.attempt import CallError
from broker.domain.loss import Loss
from broker.domain.usage import Usage
from broker.protocols import Answer, Translation
from broker.protocols.canonical.answer import Output
from broker.protocols.canonical.parts import CallPart, Part, ReasoningPart, RefusalPart, TextPart
from broker.protocols.exact_json import written


def translation_facts(translation: Translation) -> dict[str, Any]:
    """Everything that would be sent, and what was lost."""
    return {
        "path": translation.path,
        "headers": dict(translation.headers),
        "body": translation.body,
        "fan_out": translation.fan_out,
        "warnings": [loss_facts(loss) for loss in translation.warnings],
    }


def loss_facts(loss: Loss) -> dict[str, str]:
    """A warning as JSON."""
    return {"code": loss.code, "path": loss.path, "detail": loss.detail, "class": loss.loss_class.value}


def loss_words(loss: Loss) -> str:
    """A warning in one line."""
    return f"{loss.path or '/'}: {loss.detail} ({loss.loss_class}: {loss.code})"


def request_words(translation: Translation) -> str:
    """The request as HTTP would carry it, its body indented."""
    head = [f"POST {translation.path}", *(f"{name}: {value}" for name, value in translation.headers.items())]
    return "\n".join([*head, "", pretty(translation.body)])


def answer_facts(answer: Answer) -> dict[str, Any]:
    """A response that is an answer, as it is understood."""
    return {
        "outcome": "answer",
        "id": answer.id,
        "model": answer.model,
        "outputs": [_output(output) for output in answer.outputs],
        "embeddings": [len(vector) for vector in answer.embeddings],
        "usage": _usage(answer.usage),
        "notes": list(answer.notes),
    }


def error_facts(error: CallError) -> dict[str, Any]:
    """A response that is none, as it is understood."""
    return {
        "outcome": "error",
        "class": error.error_class.value,
        "retryable": error.retryable,
        "scope": error.scope.value,
        "wait_s": error.wait_s,
        "code": error.code,
        "message": error.message,
        "usage": _usage(error.usage),
    }


def pretty(value: object) -> str:
    """JSON for reading; what cannot be indented stands in one line, as it would be sent."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONEncodeError:
        return written(value).decode()


def _output(output: Output) -> dict[str, Any]:
    return {
        "index": output.index,
        "finish": output.finish.value,
        "finish_raw": output.finish_raw,
        "stop_sequence": output.stop_sequence,
        "parts": [_part(part) for part in output.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart(text=text):
            return {"text": text}
        case RefusalPart(text=text):
            return {"refusal": text}
        case ReasoningPart(text=text):
            return {"reasoning": text}
        case CallPart():
            return {"call": part.name, "id": part.id, "arguments": part.arguments or part.arguments_text}
        case _:
            return {"other": type(part).__name__}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "source": usage.source.value,
    }

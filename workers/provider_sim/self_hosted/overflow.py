"""How each engine refuses a request that is longer than its window."""

from typing import assert_never

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import Reply
from workers.provider_sim.config import Engine


def overflow(engine: Engine, tokens: int, maximum: int, window: int) -> Reply | None:
    """Return the engine's refusal, `None` where it takes the call; llama.cpp and Ollama look at the input only."""
    too_much = tokens + maximum > window
    match engine:
        case "vllm":
            return _reply(400, {"error": _vllm(tokens, maximum, window)}) if too_much else None
        case "sglang":
            return _reply(400, _sglang(tokens, maximum, window)) if too_much else None
        case "tgi":
            message = (
                f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= {window}. Given: {tokens} "
                f"`inputs` tokens and {maximum} `max_new_tokens`"
            )
            return _reply(422, {"error": message, "error_type": "validation"}) if too_much else None
        case "llama.cpp":
            message = (
                f"request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"
            )
            error: JsonValue = {
                "code": 400,
                "message": message,
                "type": "exceed_context_size_error",
                "n_prompt_tokens": tokens,
                "n_ctx": window,
            }
            return _reply(400, {"error": error}) if tokens > window else None
        case "ollama":
            problem: JsonValue = {
                "message": "the input length exceeds the context length",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
            return _reply(400, {"error": problem}) if tokens > window else None
    assert_never(engine)


def _vllm(tokens: int, maximum: int, window: int) -> JsonValue:
    if tokens > window:
        message = (
            f"This model's maximum context length is {window} tokens. However, your request has {tokens} input tokens. "
            "Please reduce the length of the input messages."
        )
    else:
        message = (
            f"'max_tokens' or 'max_completion_tokens' is too large: {maximum}. This model's maximum context length is "
            f"{window} tokens and your request has {tokens} input tokens ({maximum} > {window} - {tokens})."
        )
    return {"message": message, "type": "BadRequestError", "param": None, "code": 400}


def _sglang(tokens: int, maximum: int, window: int) -> JsonValue:
    if tokens > window:
        message = f"The input ({tokens} tokens) is longer than the model's context length ({window} tokens)."
    else:
        message = (
            f"Requested token count exceeds the model's maximum context length of {window} tokens. You requested a "
            f"total of {tokens + maximum} tokens: {tokens} tokens from the input messages and {maximum} tokens for "
            "the completion."
        )
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


def _reply(status: int, body: JsonValue) -> Reply:
    return Reply(status=status, body=orjson.dumps(body))

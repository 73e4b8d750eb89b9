"""Errors of self-hosted servers, as they were recorded or as their sources write them."""

from typing import Any

import orjson
import pytest

from broker.domain.attempt import ErrorClass, Scope
from broker.protocols.openai_errors import error_of

E = ErrorClass
LLAMA_CPP_PYTHON = (
    "1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': "
    "\"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}\n\n  File \"app.py\", line 376"
)


def llama_server(code: int, kind: str, message: str, **more: int) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "type": kind} | more}


def python_server(message: str, kind: str = "internal_server_error", code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def tgi(message: str, kind: str) -> dict[str, Any]:
    return {"error": message, "error_type": kind}


@pytest.mark.parametrize(
    ("status", "body", "expected", "scope"),
    [
        (
            400,
            llama_server(
                400,
                "exceed_context_size_error",
                "request (625 tokens) exceeds the available context size (512 tokens), try increasing it",
                n_prompt_tokens=625,
                n_ctx=512,
            ),
            E.TOO_LARGE,
            Scope.NEVER,
        ),
        (
            500,
            llama_server(
                500,
                "server_error",
                "input (701 tokens) is too large to process. increase the physical batch size",
            ),
            E.TOO_LARGE,
            Scope.NEVER,
        ),
        (
            500,
            llama_server(
                500,
                "server_error",
                "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
            ),
            E.INVALID_REQUEST,
            Scope.NEVER,
        ),
        (
            501,
            llama_server(
                501, "not_supported_error", "This server does not support embeddings. Start it with `--embeddings`"
            ),
            E.NOT_FOUND,
            Scope.OTHER,
        ),
        (503, llama_server(503, "unavailable_error", "Loading model"), E.OVERLOADED, Scope.SAME),
        (401, llama_server(401, "authentication_error", "Invalid API Key"), E.AUTHENTICATION, Scope.OTHER),
        (
            400,
            python_server(
                "This model's maximum context length is 512 tokens. However, you requested 629 tokens",
                "invalid_request_error",
                "context_length_exceeded",
            ),
            E.TOO_LARGE,
            Scope.NEVER,
        ),
        (500, python_server(LLAMA_CPP_PYTHON), E.INVALID_REQUEST, Scope.NEVER),
        (500, python_server("llama_decode returned -1"), E.SERVER_ERROR, Scope.SAME),
        (401, {"detail": "Invalid API key"}, E.AUTHENTICATION, Scope.OTHER),
        (
            422,
            tgi("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096.", "validation"),
            E.TOO_LARGE,
            Scope.NEVER,
        ),
        (
            422,
            tgi("Input validation error: inputs tokens + max_new_tokens must be <= 32768. Given: 71508", "validation"),
            E.TOO_LARGE,
            Scope.NEVER,
        ),
        (
            422,
            tgi("Input validation error: `inputs` must have less than 1024 tokens. Given: 1699", "validation"),
            E.TOO_LARGE,
            Scope.NEVER,
        ),
        (422, tgi("Input validation error: `temperature` must be strictly positive", "validation"), E.INVALID_REQUEST,
         Scope.NEVER),
        (429, tgi("Model is overloaded", "overloaded"), E.RATE_LIMITED, Scope.SAME),
        (424, tgi("Request failed during generation: Server error: CUDA out of memory", "generation"), E.SERVER_ERROR,
         Scope.SAME),
        (
            400,
            {
                "error": {
                    "message": "The decoder prompt (length 5951) is longer than the maximum model length of 4096.",
                    "type": "BadRequestError",
                    "param": None,
                    "code": 400,
                }
            },
            E.TOO_LARGE,
            Scope.NEVER,
        ),
        (
            400,
            {
                "object": "error",
                "message": "Requested token count exceeds the model's maximum context length of 4096 tokens.",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            },
            E.TOO_LARGE,
            Scope.NEVER,
        ),
        (
            503,
            {"error": "server busy, please try again.  maximum pending requests exceeded"},
            E.OVERLOADED,
            Scope.SAME,
        ),
    ],
)  # fmt: skip
def test_an_error_of_a_self_hosted_server_is_understood(
    status: int, body: dict[str, Any], expected: ErrorClass, scope: Scope
) -> None:
    error = error_of(status, {}, orjson.dumps(body), now=0.0)
    assert (error.error_class, error.scope, error.status) == (expected, scope, status)


@pytest.mark.parametrize(
    "message",
    [
        "1 validation error for ModelResponse\nchoices: field required",
        "upstream said: 1 validation error:\n {'loc': ('body', 'x')}",
    ],
)
def test_a_server_that_cannot_read_its_own_answer_stays_at_fault(message: str) -> None:
    error = error_of(500, {}, orjson.dumps(python_server(message)), now=0.0)
    assert (error.error_class, error.scope) == (E.SERVER_ERROR, Scope.SAME)

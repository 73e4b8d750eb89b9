"""Writes OpenAI answers in their real shapes."""

import struct
from base64 import b64encode

import orjson
from pydantic import JsonValue

from workers.provider_sim.answers import expected_embedding
from workers.provider_sim.call import ChatCall, EmbeddingCall, Generated

DEFAULT_MODELS = ("sim-chat", "sim-embedding")


def chat_completion(call: ChatCall, generated: Generated, *, number: int, created: int) -> bytes:
    """Return a `chat.completion`; `number` makes its id, `created` is in seconds since the epoch."""
    message: JsonValue = {"role": "assistant", "content": generated.text, "refusal": None, "annotations": []}
    finish = "length" if generated.is_cut_by_maximum else "stop"
    return orjson.dumps(
        {
            "id": f"chatcmpl-{number:029x}",
            "object": "chat.completion",
            "created": created,
            "model": call.model,
            "choices": [
                {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
                for index in range(call.choices)
            ],
            "usage": {
                "prompt_tokens": generated.input_tokens,
                "completion_tokens": generated.output_tokens,
                "total_tokens": generated.input_tokens + generated.output_tokens,
                "prompt_tokens_details": {"cached_tokens": generated.cached_tokens, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": generated.reasoning_tokens,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        },
    )


def embedding_list(call: EmbeddingCall, generated: Generated) -> bytes:
    """Return a `list` of embeddings, in the order of the inputs."""
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _vector(text, call)}
                for index, text in enumerate(call.inputs)
            ],
            "model": call.model,
            "usage": {"prompt_tokens": generated.input_tokens, "total_tokens": generated.input_tokens},
        },
    )


def model_list(models: tuple[str, ...], created: int) -> bytes:
    """Return what `GET /v1/models` answers."""
    return orjson.dumps({"object": "list", "data": [_model(name, created) for name in models or DEFAULT_MODELS]})


def one_model(name: str, created: int) -> bytes:
    """Return what `GET /v1/models/NAME` answers."""
    return orjson.dumps(_model(name, created))


def _model(name: str, created: int) -> dict[str, JsonValue]:
    return {"id": name, "object": "model", "created": created, "owned_by": "provider-sim"}


def _vector(text: str, call: EmbeddingCall) -> JsonValue:
    numbers = expected_embedding(text, call.dimensions)
    if call.as_base64:
        return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return list(numbers)

"""The pages on which each engine says what it is: enough for a probe. They need no key."""

from collections.abc import Mapping
from typing import assert_never

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import Reply
from workers.provider_sim.config import Engine, SelfHostedConfig

_DEFAULT_WINDOW = 131_072
"""Tokens that a model holds when no window is configured; where one is, the model could hold as many and more."""
_VERSIONS: Mapping[Engine, str] = {
    "vllm": "0.11.0",
    "llama.cpp": "b8681-0",
    "ollama": "0.12.6",
    "tgi": "3.3.6",
    "sglang": "0.5.3",
}


def page(method: str, path: str, config: SelfHostedConfig, models: tuple[str, ...], busy: int) -> Reply | None:
    """Return what the engine answers on one of its own pages, `None` where it has none; `busy`: calls in flight."""
    engine = config.engine
    if engine is None:
        return None
    if path == "/health" and method == "GET" and engine != "ollama":
        return Reply(status=200, body=b'{"status":"ok"}' if engine == "llama.cpp" else b"")
    match engine:
        case "vllm":
            pages: dict[str, JsonValue] = {"GET /version": {"version": version(config)}}
        case "llama.cpp":
            pages = _llama_cpp(config, models, busy)
        case "ollama":
            pages = _ollama(config, models)
        case "tgi":
            pages = {"GET /info": _tgi(config, models)}
        case "sglang":
            pages = _sglang(config, models)
        case _:
            assert_never(engine)
    found = pages.get(f"{method} {path}")
    return None if found is None else Reply(status=200, body=orjson.dumps(found))


def model_facts(config: SelfHostedConfig) -> dict[str, JsonValue]:
    """Return what the engine adds to each model in `/v1/models`."""
    match config.engine:
        case "vllm" | "sglang":
            return {"owned_by": str(config.engine), "max_model_len": _window(config)}
        case "llama.cpp":
            return {"owned_by": "llamacpp", "meta": {"n_ctx_train": _DEFAULT_WINDOW, "n_ctx": _window(config)}}
        case "ollama":
            return {"owned_by": "library"}
        case _:
            return {}


def version(config: SelfHostedConfig) -> str:
    """Return what the engine says its version is."""
    if config.version is not None:
        return config.version
    return _VERSIONS[config.engine] if config.engine else ""


def _window(config: SelfHostedConfig) -> int:
    return config.context_window or _DEFAULT_WINDOW


def _llama_cpp(config: SelfHostedConfig, models: tuple[str, ...], busy: int) -> dict[str, JsonValue]:
    slots: list[JsonValue] = [
        {"id": index, "n_ctx": _window(config), "speculative": False, "is_processing": index < busy}
        for index in range(config.slots)
    ]
    return {
        "GET /props": {
            "default_generation_settings": {"id": 0, "n_ctx": _window(config), "params": {}},
            "total_slots": config.slots,
            "model_alias": models[0],
            "model_path": f"/models/{models[0]}.gguf",
            "modalities": {"vision": False, "audio": False},
            "chat_template": "{{ messages }}",
            "build_info": version(config),
        },
        "GET /slots": slots,
    }


def _ollama(config: SelfHostedConfig, models: tuple[str, ...]) -> dict[str, JsonValue]:
    details: JsonValue = {"format": "gguf", "family": "llama", "parameter_size": "8B", "quantization_level": "Q4_K_M"}
    tags: list[JsonValue] = [{"name": name, "model": name, "size": 1, "details": details} for name in models]
    running: list[JsonValue] = [
        {"name": name, "model": name, "size": 1, "details": details, "context_length": _window(config)}
        for name in models
    ]
    return {
        "GET /api/version": {"version": version(config)},
        "GET /api/tags": {"models": tags},
        "GET /api/ps": {"models": running},
        "POST /api/show": {
            "parameters": f"num_ctx                        {_window(config)}",
            "template": "{{ .Prompt }}",
            "details": details,
            "model_info": {"general.architecture": "llama", "llama.context_length": _DEFAULT_WINDOW},
            "capabilities": ["completion", "tools"],
        },
    }


def _tgi(config: SelfHostedConfig, models: tuple[str, ...]) -> JsonValue:
    return {
        "model_id": models[0],
        "model_pipeline_tag": "text-generation",
        "max_concurrent_requests": config.slots,
        "max_best_of": 2,
        "max_stop_sequences": 4,
        "max_input_tokens": _window(config) - 1,
        "max_total_tokens": _window(config),
        "router": "text-generation-router",
        "version": version(config),
    }


def _sglang(config: SelfHostedConfig, models: tuple[str, ...]) -> dict[str, JsonValue]:
    return {
        "GET /get_server_info": {
            "model_path": models[0],
            "served_model_name": models[0],
            "context_length": _window(config),
            "max_running_requests": config.slots,
            "max_total_num_tokens": config.slots * _window(config),
            "version": version(config),
        },
        "GET /get_model_info": {"model_path": models[0], "is_generation": True},
    }

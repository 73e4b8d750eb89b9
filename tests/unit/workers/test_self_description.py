"""What a server's pages say, and what is made of odd ones."""

import json
from typing import Any

import pytest

from broker.catalog.lookup import providers
from broker.domain.provider import ProbePage
from workers.capabilities import UNKNOWN, Capabilities
from workers.self_description import Told, described

LIST = ProbePage(path="/models", items="/data", model="/id", context_window="/max", lists_all=True)
FACTS = ProbePage(path="/facts", version="/version", slots="/slots", context_window="/window")


def told(page: ProbePage, body: Any, of_model: str | None = None) -> Told:
    return Told(page=page, body=body if isinstance(body, bytes) else json.dumps(body).encode(), of_model=of_model)


def read(*pages: Told, any_model: bool = False) -> Capabilities:
    return described(pages, engine="vllm", any_model=any_model)


def of_engine(name: str, **answers: Any) -> Capabilities:
    """What the catalog makes of the pages of an engine; `answers` by the last step of their paths."""
    facts = providers()[name].facts
    pages = [
        told(page, answers[page.path.rpartition("/")[2]], None if page.ask_field is None else "m")
        for page in facts.probe
        if page.path.rpartition("/")[2] in answers
    ]
    return described(pages, engine=name, any_model=facts.any_model)


def test_llama_cpp_has_one_model_whatever_it_is_called() -> None:
    found = of_engine(
        "llama.cpp",
        props={
            "default_generation_settings": {"id": 0, "params": {"n_predict": -1}, "n_ctx": 8192},
            "total_slots": 8,
            "model_alias": "qwen3-8b",
            "build_info": "b8681-6d1a3e2",
        },
        models={"object": "list", "data": [{"id": "qwen3-8b", "meta": {"n_ctx_train": 40960}}]},
    )
    assert (found.engine, found.version, found.slots) == ("llama.cpp", "b8681-6d1a3e2", 8)
    assert found.context_window("anything") == 8192
    assert found.models == {"qwen3-8b"}
    assert found.lacks(["anything"]) == ()


def test_vllm_says_a_window_for_each_model_and_serves_no_other() -> None:
    model = {"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "vllm", "max_model_len": 16384}
    adapter = {"id": "mine", "object": "model", "parent": "Qwen/Qwen3-8B", "max_model_len": None}
    found = of_engine("vllm", version={"version": "0.11.0"}, models={"data": [model, adapter]})
    assert (found.version, found.slots) == ("0.11.0", None)
    assert [found.context_window(name) for name in ("Qwen/Qwen3-8B", "mine", "other")] == [16384, None, None]
    assert found.lacks(["Qwen/Qwen3-8B", "mine", "other"]) == ("other",)


def test_ollama_tags_its_models_and_knows_their_windows_when_they_are_loaded() -> None:
    pulled = {"models": [{"name": "llama3.2:latest"}, {"name": "qwen3:4b"}]}
    shown = {"parameters": 'stop                           "<|eot|>"\nnum_ctx                        8192'}
    idle = of_engine("ollama", version={"version": "0.12.6"}, tags=pulled, show=shown, ps={"models": []})
    assert idle.context_window("m") == 8192
    assert idle.lacks(["llama3.2", "Llama3.2", "qwen3:4b", "qwen3"]) == ("qwen3",)
    assert idle.context_window("llama3.2") is None
    loaded = {"models": [{"name": "llama3.2:latest", "context_length": 4096}, {"name": "m", "context_length": 2048}]}
    busy = of_engine("ollama", tags=pulled, show=shown, ps=loaded)
    assert [busy.context_window(name) for name in ("llama3.2", "m")] == [4096, 2048]


def test_a_loaded_model_is_not_all_that_there_is() -> None:
    assert of_engine("ollama", ps={"models": [{"name": "a"}]}).lacks(["b"]) == ()


def test_tgi_and_sglang_say_it_on_one_page() -> None:
    page = {"model_id": "org/m", "max_concurrent_requests": 128, "max_total_tokens": 4096, "version": "3.3.6"}
    tgi = of_engine("tgi", info=page)
    assert (tgi.version, tgi.slots, tgi.context_window("tgi"), tgi.models) == ("3.3.6", 128, 4096, frozenset({"org/m"}))
    info = {"version": "0.5.3", "max_running_requests": None, "context_length": None}
    sglang = of_engine("sglang", get_server_info=info, models={"data": [{"id": "m", "max_model_len": 32768}]})
    assert (sglang.version, sglang.slots, sglang.context_window("other")) == ("0.5.3", None, 32768)


def test_nothing_answered_is_unknown() -> None:
    assert read() == UNKNOWN


def test_an_engine_is_named_only_where_its_version_shows() -> None:
    assert read(told(FACTS, {"slots": 3})).engine is None
    assert read(told(FACTS, {"version": "1"})).engine == "vllm"


def test_a_later_page_knows_better_and_silence_takes_nothing_back() -> None:
    found = read(told(FACTS, {"slots": 3, "window": 10, "version": "1"}), told(FACTS, {"slots": 4}))
    assert (found.slots, found.context_window("x"), found.version) == (4, 10, "1")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[", [], {}, "text", 3, None, {"data": 3}, {"data": [3, None, []]}])
def test_a_page_that_is_something_else_says_nothing(body: Any) -> None:
    assert read(told(LIST, body), told(FACTS, body)) == UNKNOWN


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "x", "-4", "٣", None, [], 2**60, "9" * 5000])
def test_an_odd_number_is_no_count(count: Any) -> None:
    assert read(told(FACTS, {"slots": count, "window": count})) == UNKNOWN


def test_a_list_with_a_nameless_entry_is_not_taken_for_the_whole() -> None:
    found = read(told(LIST, {"data": [{"id": "a", "max": 5}, {"id": 7, "max": 9}]}))
    assert (found.models, found.lacks(["b"]), dict(found.context_windows)) == (frozenset("a"), (), {"a": 5})


def test_an_empty_list_is_not_taken_for_the_whole() -> None:
    assert read(told(LIST, {"data": []})).lacks(["a"]) == ()


def test_a_step_into_a_list_is_a_number() -> None:
    page = ProbePage(path="/", slots="/states/1/slots")
    assert read(told(page, {"states": [{"slots": 1}, {"slots": 2}]})).slots == 2
    assert read(told(page, {"states": [{"slots": 1}]})) == UNKNOWN


def test_what_looks_like_a_key_is_masked_and_what_is_long_is_cut() -> None:
    found = read(
        told(FACTS, {"version": "Bearer sk-canary0123456789abcdef"}), told(LIST, {"data": [{"id": "x" * 999}]})
    )
    assert "canary" not in f"{found}"
    assert max(map(len, found.models)) == 256
    forged = read(told(FACTS, {"version": "1\n2026 ERROR all is lost"})).words()
    assert "\n" not in forged


def test_words_say_all_of_it_in_a_line() -> None:
    found = Capabilities(
        engine="vllm",
        version="1",
        models=frozenset("abcdefg"),
        lists_all=True,
        context_windows={"a": 4096, "b": 8192},
        slots=1,
    )
    assert found.words_for(["z"]) == (
        "vllm 1, serves a, b, c, d, e and 2 more, context window 4,096 tokens (a), context window 8,192 tokens (b), "
        "1 slot; it does not serve z"
    )
    assert UNKNOWN.words_for(["z"]) == ""

"""Conversations that one vendor takes as they are, and another only in other words."""

from typing import Any

import pytest

from broker.domain.caps import Caps, ThinkingForm
from broker.domain.loss import LossClass
from broker.protocols import UntranslatableRequest, translate_request

CHAT, RESPONSES = "openai-chat", "openai-responses"
MESSAGES, GEMINI = "anthropic-messages", "gemini-generateContent"


def called(call_id: str, name: str = "look_up") -> dict[str, Any]:
    function = {"name": name, "arguments": "{}"}
    return {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]}


def answered(call_id: str, text: str, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text, **more}


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 2000, "messages": [{"role": "user", "content": "Hello"}, *messages], **more}


def pairs(body: dict[str, Any], target: str) -> list[tuple[str, str]]:
    """The ids of calls in the results, and what each was answered."""
    match target:
        case "openai-responses":
            items = [item for item in body["input"] if item.get("type") == "function_call_output"]
            return [(item["call_id"], item["output"]) for item in items]
        case "anthropic-messages":
            blocks = [block for message in body["messages"] for block in message["content"] if type(block) is dict]
            results = [block for block in blocks if block["type"] == "tool_result"]
            return [(result["tool_use_id"], result["content"]) for result in results]
        case _:
            parts = [part for content in body["contents"] for part in content["parts"]]
            responses = [part["functionResponse"] for part in parts if "functionResponse" in part]
            return [(response["id"], response["response"]["output"]) for response in responses]


def calls(body: dict[str, Any], target: str) -> list[str]:
    """The ids of calls in their order."""
    match target:
        case "openai-responses":
            return [item["call_id"] for item in body["input"] if item.get("type") == "function_call"]
        case "anthropic-messages":
            blocks = [block for message in body["messages"] for block in message["content"]]
            return [block["id"] for block in blocks if isinstance(block, dict) and block["type"] == "tool_use"]
        case _:
            parts = [part for content in body["contents"] for part in content["parts"]]
            return [part["functionCall"]["id"] for part in parts if "functionCall" in part]


@pytest.mark.parametrize("call_id", ["call_0", "an id/with spaces"])
@pytest.mark.parametrize("target", [RESPONSES, MESSAGES, GEMINI])
def test_an_id_that_comes_again_in_a_later_turn_is_made_another(target: str, call_id: str) -> None:
    body = chat(called(call_id), answered(call_id, "one"), called(call_id), answered(call_id, "two"))
    written = translate_request(body, source=CHAT, target=target, model="m").body
    asked = calls(written, target)
    assert len(set(asked)) == 2
    assert pairs(written, target) == list(zip(asked, ["one", "two"], strict=True))


@pytest.mark.parametrize("target", [RESPONSES, MESSAGES, GEMINI])
def test_calls_side_by_side_keep_their_results_where_ids_come_again(target: str) -> None:
    first, second = called("0", "a"), called("0", "b")
    first["tool_calls"] += called("1", "b")["tool_calls"]
    second["tool_calls"] += called("1", "a")["tool_calls"]
    said = (first, answered("1", "b1"), answered("0", "a1"), second, answered("1", "a2"), answered("0", "b2"))
    written = translate_request(chat(*said), source=CHAT, target=target, model="m").body
    asked = calls(written, target)
    assert len(set(asked)) == 4
    assert pairs(written, target) == list(zip(asked, ["a1", "b1", "b2", "a2"], strict=True))


def test_ids_that_come_once_stay() -> None:
    body = chat(called("call_0"), answered("call_0", "one"), called("call_1"), answered("call_1", "two"))
    written = translate_request(body, source=CHAT, target=MESSAGES, model="m").body
    assert pairs(written, MESSAGES) == [("call_0", "one"), ("call_1", "two")]


def test_a_result_goes_by_the_name_of_its_call() -> None:
    body = chat(called("a", "look_up"), answered("a", "one", name="another name"))
    contents: Any = translate_request(body, source=CHAT, target=GEMINI, model="m").body["contents"]
    assert contents[-1]["parts"][0]["functionResponse"]["name"] == "look_up"


def test_blank_arguments_become_an_empty_object() -> None:
    message = called("a")
    message["tool_calls"][0]["function"]["arguments"] = " \n"
    body = chat(message, answered("a", "one"))
    items: Any = translate_request(body, source=CHAT, target=RESPONSES, model="m").body["input"]
    assert [item["arguments"] for item in items if item.get("type") == "function_call"] == ["{}"]


@pytest.mark.parametrize("target", [RESPONSES, MESSAGES, GEMINI])
def test_a_question_without_a_word_is_none(target: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}
    with pytest.raises(UntranslatableRequest) as refused:
        translate_request(body, source=CHAT, target=target, model="m")
    assert [loss.code for loss in refused.value.losses] == ["empty_conversation"]


def test_a_message_without_a_word_is_left_out_and_told() -> None:
    empty = {"role": "user", "content": [{"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}]}
    spoken = {"role": "assistant", "content": "Yes."}
    translation = translate_request(
        chat(spoken, empty, spoken, {"role": "user", "content": "Go on"}), source=CHAT, target=RESPONSES, model="m"
    )
    told = [(loss.code, loss.path, loss.loss_class) for loss in translation.warnings]
    assert told == [
        ("cache_mark", "/messages/2/content/0", LossClass.HINT),
        ("blank_text", "/messages/2", LossClass.HINT),
    ]
    items: Any = translation.body["input"]
    assert [item["content"] for item in items] == ["Hello", "Yes.", "Yes.", "Go on"]


HOSTED = {"type": "web_search_20250305", "name": "web_search"}
OWN = {"name": "look_up", "input_schema": {"type": "object"}}


@pytest.mark.parametrize("target", [CHAT, RESPONSES, GEMINI])
def test_a_choice_of_a_tool_that_was_left_out_goes_with_it(target: str) -> None:
    body = chat(tools=[HOSTED, OWN], tool_choice={"type": "tool", "name": "web_search"})
    translation = translate_request(body, source=MESSAGES, target=target, model="m", on_loss="drop")
    assert "tools" in translation.body
    assert not {"tool_choice", "toolConfig"} & translation.body.keys()
    assert [(loss.code, loss.path) for loss in translation.warnings] == [
        ("hosted_tool", "/tools/0"),
        ("choice_of_no_tool", "/tool_choice"),
    ]


@pytest.mark.parametrize(
    ("target", "field", "written"),
    [
        (CHAT, "tool_choice", {"type": "function", "function": {"name": "b"}}),
        (RESPONSES, "tool_choice", {"type": "function", "name": "b"}),
        (GEMINI, "toolConfig", {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["b"]}}),
    ],
)
def test_of_a_choice_among_several_stays_what_is_sent(target: str, field: str, written: object) -> None:
    source = GEMINI if target != GEMINI else CHAT
    if source == GEMINI:
        body: dict[str, Any] = {
            "contents": [{"parts": [{"text": "Hello"}]}],
            "tools": [{"functionDeclarations": [{"name": "b"}, {"name": "c"}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "b"]}},
        }
    else:
        named = [{"type": "function", "function": {"name": name}} for name in ("a", "b", "c")]
        allowed = {"mode": "required", "tools": named[:2]}
        body = chat(tools=named[1:], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    translation = translate_request(body, source=source, target=target, model="m", on_loss="drop")
    assert translation.body[field] == written
    assert [loss.code for loss in translation.warnings] == ["choice_of_no_tool"]


@pytest.mark.parametrize(("target", "none"), [(CHAT, "none"), (RESPONSES, "none"), (MESSAGES, {"type": "none"})])
def test_where_no_tool_may_be_called_names_do_not_matter(target: str, none: object) -> None:
    body = {
        "contents": [{"parts": [{"text": "Hello"}]}],
        "tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "NONE", "allowedFunctionNames": ["a"]}},
        "generationConfig": {"maxOutputTokens": 20},
    }
    translation = translate_request(body, source=GEMINI, target=target, model="m")
    assert translation.body["tool_choice"] == none
    tools: Any = translation.body["tools"]
    assert len(tools) == 2
    assert translation.warnings == ()


NEUTRAL = {"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "logprobs": False}


@pytest.mark.parametrize("target", [RESPONSES, MESSAGES, GEMINI])
def test_a_setting_that_says_what_happens_anyway_is_no_loss(target: str) -> None:
    translation = translate_request(chat(**NEUTRAL), source=CHAT, target=target, model="m")
    assert {loss.loss_class for loss in translation.warnings} == {LossClass.HINT}


@pytest.mark.parametrize("setting", ["presence_penalty", "frequency_penalty"])
def test_a_setting_that_says_something_is_one(setting: str) -> None:
    with pytest.raises(UntranslatableRequest) as refused:
        translate_request(chat(**{setting: 0.1}), source=CHAT, target=RESPONSES, model="m")
    assert refused.value.pointer == f"/{setting}"


def test_a_model_does_not_think_before_an_answer_that_has_begun() -> None:
    caps = Caps(prefill=True, thinking=ThinkingForm.BUDGET)
    body = chat({"role": "assistant", "content": "Sure"}, reasoning_effort="low")
    translation = translate_request(body, source=CHAT, target=MESSAGES, model="m", caps=caps, on_loss="drop")
    assert "thinking" not in translation.body
    assert [(loss.code, loss.path) for loss in translation.warnings] == [("thinking_dropped", "/reasoning_effort")]


@pytest.mark.parametrize("kind", ["object", ["object", "null"]])
def test_strict_is_not_said_where_an_object_may_be_open(kind: object) -> None:
    inner = {"type": "object", "properties": {"a": {"type": kind}}, "required": ["a"], "additionalProperties": False}
    body = chat(tools=[{"name": "look_up", "strict": True, "input_schema": inner}])
    translation = translate_request(body, source=MESSAGES, target=CHAT, model="m")
    tools: Any = translation.body["tools"]
    assert "strict" not in tools[0]["function"]
    assert [loss.code for loss in translation.warnings] == ["strict_dropped"]

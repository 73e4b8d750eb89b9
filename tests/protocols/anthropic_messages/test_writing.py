"""Canonical requests are written as Anthropic takes them; each body here satisfies the SDK's types, strictly."""

import base64
from dataclasses import replace
from typing import Any

import pytest

from broker.domain.loss import LossClass, OnLoss
from broker.protocols.anthropic_messages.version import HEADER, NEW, OLD
from broker.protocols.canonical.parts import (
    Inline,
    MediaKind,
    MediaPart,
    PlainText,
    ProviderFile,
    RefusalPart,
    TextPart,
    Url,
)
from broker.protocols.codec import Written
from tests.protocols.anthropic_messages.builders import (
    MANUAL,
    NEWEST,
    a_call,
    a_request,
    a_result,
    a_tool,
    assistant,
    dropped,
    operator,
    refused,
    sent,
    user,
)


def image(source: Any, **changes: Any) -> MediaPart:
    return replace(MediaPart(kind=MediaKind.IMAGE, source=source, path="/at"), **changes)


def document(source: Any, **changes: Any) -> MediaPart:
    return replace(MediaPart(kind=MediaKind.DOCUMENT, source=source, path="/at"), **changes)


def test_the_smallest_request() -> None:
    outcome = sent(a_request())
    messages = [{"role": "user", "content": "Hello"}]
    assert outcome.body == {"model": "claude", "max_tokens": 1000, "messages": messages}
    assert outcome.written == Written(body=outcome.body, path="/v1/messages", headers={HEADER: NEW}, fan_out=1)
    assert outcome.losses == ()


def test_operators_keep_their_blocks() -> None:
    one, two = TextPart(text="Be brief"), TextPart(text="Be kind")
    assert sent(a_request(system=(one,))).body["system"] == "Be brief"
    blocks = sent(a_request(system=(one, TextPart(text=""), two))).body["system"]
    assert [block["text"] for block in blocks] == ["Be brief", "Be kind"]


def test_an_operator_speaks_behind_a_user_and_before_the_assistant_only() -> None:
    caps = replace(NEWEST, mid_system=True)
    kept = a_request(user("a"), operator("now"), assistant("b", path="/messages/3"), user("c"))
    assert [message["role"] for message in sent(kept, caps).body["messages"]] == ["user", "system", "assistant", "user"]
    last = a_request(user("a"), operator("now"))
    assert [message["role"] for message in sent(last, caps).body["messages"]] == ["user", "system"]


@pytest.mark.parametrize(
    "turns",
    [
        (operator("now"), user("a")),
        (user("a"), operator("now"), user("b")),
        (user("a"), assistant("b"), operator("now"), user("c")),
    ],
)
def test_an_operator_who_may_not_speak_there_moves_to_the_beginning(turns: Any) -> None:
    outcome = sent(a_request(*turns, system=(TextPart(text="first"),)), replace(NEWEST, mid_system=True))
    assert [block["text"] for block in outcome.body["system"]] == ["first", "now"]
    assert outcome.codes == ["system_moved"]
    roles = [message["role"] for message in outcome.body["messages"]]
    assert roles == (["user"] if len(turns) < 4 else ["user", "assistant", "user"])


def test_parts_of_one_speaker_stay_apart() -> None:
    outcome = sent(a_request(user("a", "b")))
    assert [block["text"] for block in outcome.body["messages"][0]["content"]] == ["a", "b"]


def test_blank_texts_become_no_blocks() -> None:
    outcome = sent(a_request(user("a", "", " \n"), assistant("", a_call()), user(a_result()), tools=(a_tool(),)))
    assert outcome.body["messages"][0]["content"] == "a"
    assert [block["type"] for block in outcome.body["messages"][1]["content"]] == ["tool_use"]
    assert outcome.codes == ["blank_text"]


def test_a_blank_question_is_refused_and_a_silent_assistant_is_not() -> None:
    assert refused(a_request(user(" "))) == [("blank_text", "/messages/0")]
    outcome = sent(a_request(user("a"), assistant(""), user("b", path="/messages/2")))
    assert [block["text"] for block in outcome.body["messages"][0]["content"]] == ["a", "b"]


def test_a_blank_end_leaves_no_prefill_behind() -> None:
    request = a_request(user("a"), assistant("b"), user(" ", path="/messages/2"))
    assert refused(request, on_loss=OnLoss.DROP) == [("prefill", "/messages/2")]


def test_prefill_ends_without_white_space() -> None:
    outcome = sent(a_request(user("a"), assistant("The answer is \n")), MANUAL)
    assert outcome.body["messages"][-1] == {"role": "assistant", "content": "The answer is"}
    assert outcome.codes == ["trailing_space"]


def test_a_refusal_in_history_is_plain_text() -> None:
    outcome = sent(a_request(user("a"), assistant(RefusalPart(text="No.")), user("b")))
    assert outcome.body["messages"][1]["content"] == "No."


def test_calls_and_results_are_written_in_order() -> None:
    calls = (a_call("1", arguments={"x": 1}), a_call("2", name="see"))
    results = (a_result("1", "one"), a_result("2", "two", "more", is_error=True), "and?")
    turns = (user("a"), assistant("I look", *calls), user(*results))
    outcome = sent(a_request(*turns, tools=(a_tool(), a_tool("see"))))
    assert outcome.body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look"},
                {"type": "tool_use", "id": "1", "name": "look", "input": {"x": 1}},
                {"type": "tool_use", "id": "2", "name": "see", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "one"},
                {
                    "type": "tool_result",
                    "tool_use_id": "2",
                    "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "more"}],
                    "is_error": True,
                },
                {"type": "text", "text": "and?"},
            ],
        },
    ]


def test_a_result_may_be_empty_or_an_image() -> None:
    picture = image(Inline(mime="image/png", data="AA=="))
    turns = (user("a"), assistant(a_call("1"), a_call("2")), user(a_result("1"), a_result("2", picture)))
    results = sent(a_request(*turns, tools=(a_tool(),))).body["messages"][2]["content"]
    assert results[0] == {"type": "tool_result", "tool_use_id": "1"}
    assert results[1]["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": "AA=="}


def test_arguments_that_are_no_object_are_refused_or_wrapped() -> None:
    call = a_call(arguments=None, arguments_text="{oops")
    request = a_request(user("a"), assistant(call), user(a_result()), tools=(a_tool(),))
    assert refused(request) == [("unparsable_arguments", call.path)]
    outcome = dropped(request)
    assert outcome.body["messages"][1]["content"][0]["input"] == {"_raw": "{oops"}
    assert outcome.codes == ["unparsable_arguments"]


def test_the_seal_of_a_foreign_thought_is_noted() -> None:
    turns = (user("a"), assistant(a_call(signature="s")), user(a_result()))
    outcome = sent(a_request(*turns, tools=(a_tool(),)))
    assert outcome.codes == ["signature_dropped"]


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (image(Inline(mime="image/webp", data="AA==")), {"type": "base64", "media_type": "image/webp", "data": "AA=="}),
        (image(Url(url="https://x/y.jpg")), {"type": "url", "url": "https://x/y.jpg"}),
        (
            document(Inline(mime="application/pdf", data="AA==")),
            {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
        ),
        (document(Url(url="https://x/y.pdf")), {"type": "url", "url": "https://x/y.pdf"}),
        (document(PlainText(text="words")), {"type": "text", "media_type": "text/plain", "data": "words"}),
        (
            document(Inline(mime="text/plain", data=base64.b64encode("Größe".encode()).decode())),
            {"type": "text", "media_type": "text/plain", "data": "Größe"},
        ),
    ],
)
def test_media_are_written(part: MediaPart, source: dict[str, str]) -> None:
    outcome = sent(a_request(user(part)))
    assert outcome.body["messages"][0]["content"] == [{"type": part.kind.value, "source": source}]
    assert outcome.losses == ()


def test_a_document_keeps_its_title_and_what_is_told_about_it() -> None:
    part = document(PlainText(text="words"), filename="a.txt", context="mine")
    block = sent(a_request(user(part))).body["messages"][0]["content"][0]
    assert (block["title"], block["context"]) == ("a.txt", "mine")


def test_another_kind_of_text_is_said_to_be_one() -> None:
    part = document(Inline(mime="text/csv", data=base64.b64encode(b"a,b").decode()))
    assert sent(a_request(user(part))).codes == ["document_as_text"]


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (image(Inline(mime="image/bmp", data="AA==")), "unsupported_media"),
        (image(Url(url="http://x/y.jpg")), "unsupported_media"),
        (image(Url(url="gs://x/y.jpg")), "unsupported_media"),
        (image(ProviderFile(reference="file-1")), "foreign_file"),
        (document(ProviderFile(reference="file-1")), "foreign_file"),
        (document(Inline(mime="application/msword", data="AA==")), "unsupported_media"),
        (document(Inline(mime="text/plain", data="/w==")), "unsupported_media"),
        (document(Url(url="https://x/y.txt", mime="text/plain")), "unsupported_media"),
        (
            MediaPart(kind=MediaKind.AUDIO, source=Inline(mime="audio/wav", data="AA=="), path="/at"),
            "unsupported_media",
        ),
        (MediaPart(kind=MediaKind.VIDEO, source=Url(url="https://x"), path="/at"), "unsupported_media"),
    ],
)
def test_media_that_cannot_be_sent_are_refused_whatever_the_batch_says(part: MediaPart, code: str) -> None:
    assert (code, "/at") in refused(a_request(user("see", part)), on_loss=OnLoss.DROP)


def test_media_are_refused_where_the_model_takes_none() -> None:
    caps = replace(NEWEST, images=False, documents=False)
    assert refused(a_request(user("a", image(Url(url="https://x")))), caps) == [("unsupported_media", "/at")]
    assert refused(a_request(user("a", document(PlainText(text="x")))), caps) == [("unsupported_media", "/at")]


def test_a_document_of_the_assistant_s_needs_the_older_version() -> None:
    request = a_request(user("a"), assistant("see", document(PlainText(text="x"))), user("b"))
    assert sent(request).written.headers == {HEADER: OLD}
    forced = replace(NEWEST, anthropic_version=NEW)
    assert refused(request, forced) == [("unsupported_part", "/at")]
    picture = a_request(user("a"), assistant(image(Url(url="https://x")), "see"), user("b"))
    assert refused(picture) == [("unsupported_part", "/at")]


def test_how_closely_to_look_is_a_hint() -> None:
    outcome = sent(a_request(user(image(Url(url="https://x"), detail="high"))))
    assert [loss.loss_class for loss in outcome.losses] == [LossClass.HINT]
    assert sent(a_request(user(image(Url(url="https://x"), detail="auto")))).losses == ()


def test_four_cache_marks_are_written_and_the_rest_is_noted() -> None:
    texts = [TextPart(text=str(number), path=f"/{number}", cache="1h") for number in range(4)]
    tool = a_tool(cache="")
    outcome = sent(a_request(user(*texts), tools=(tool,), system=(TextPart(text="s", cache="5m"),)))
    assert outcome.body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert outcome.body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    marked = ["cache_control" in block for block in outcome.body["messages"][0]["content"]]
    assert marked == [True, True, False, False]
    assert [(loss.code, loss.path) for loss in outcome.losses] == [("cache_mark", "/2"), ("cache_mark", "/3")]


def test_cache_marks_are_noted_where_the_model_takes_none() -> None:
    outcome = sent(a_request(user(TextPart(text="a", path="/p", cache=""))), replace(NEWEST, cache_marks=False))
    assert outcome.body["messages"][0]["content"] == "a"
    assert outcome.codes == ["cache_mark"]

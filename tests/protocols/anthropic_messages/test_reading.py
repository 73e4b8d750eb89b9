"""Message requests are read whole: what has no place is named with its class, what is none is refused by pointer."""

from typing import Any

import pytest

from broker.domain.loss import LossClass
from broker.protocols.anthropic_messages.read_request import read_request
from broker.protocols.canonical.parts import (
    CallPart,
    Inline,
    MediaKind,
    MediaPart,
    OpaquePart,
    PlainText,
    ProviderFile,
    ReasoningPart,
    ResultPart,
    TextPart,
    Url,
)
from broker.protocols.canonical.request import NO_SAMPLING, ChoiceMode, FormatKind, Role, Thinking, ToolKind
from broker.protocols.losses import MalformedRequest


def a_body(*content: Any, **changes: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": list(content) or "Hello"}]
    return {"model": "claude", "max_tokens": 100, "messages": messages, **changes}


def first_parts(*content: Any) -> tuple[Any, ...]:
    return read_request(a_body(*content)).turns[0].parts


def lost(body: dict[str, Any]) -> list[tuple[str, str, LossClass, bool]]:
    return [(one.code, one.path, one.loss_class, one.droppable) for one in read_request(body).unmapped]


def test_a_text_is_one_part_with_its_place() -> None:
    request = read_request(a_body())
    assert request.turns[0].parts == (TextPart(text="Hello", path="/messages/0/content"),)
    assert (request.max_output_tokens, request.n, request.sampling) == (100, 1, NO_SAMPLING)
    assert request.unmapped == ()


def test_a_system_prompt_is_a_text_or_blocks() -> None:
    assert read_request(a_body(system="Be brief")).system == (TextPart(text="Be brief", path="/system"),)
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]
    first, second = read_request(a_body(system=blocks)).system
    assert (first, second) == (TextPart(text="a", path="/system/0"), TextPart(text="b", path="/system/1", cache=""))
    assert read_request(a_body(system="")).system == ()


def test_an_operator_may_speak_in_mid_conversation() -> None:
    body = a_body()
    body["messages"] += [{"role": "system", "content": "In French"}]
    assert read_request(body).turns[1].role is Role.SYSTEM


def test_cache_marks_keep_their_time() -> None:
    (part,) = first_parts({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}})
    assert part.cache == "1h"


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ({"type": "base64", "media_type": "IMAGE/JPG", "data": "AA=="}, Inline(mime="image/jpeg", data="AA==")),
        ({"type": "url", "url": "https://x/y.png"}, Url(url="https://x/y.png")),
        ({"type": "file", "file_id": "file_1"}, ProviderFile(reference="file_1")),
    ],
)
def test_images_are_read(source: dict[str, str], read: Any) -> None:
    (part,) = first_parts({"type": "image", "source": source})
    assert part == MediaPart(kind=MediaKind.IMAGE, source=read, path="/messages/0/content/0")


def test_documents_keep_title_and_context() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "words"}
    (part,) = first_parts({"type": "document", "source": source, "title": "T", "context": "C"})
    assert (part.kind, part.source) == (MediaKind.DOCUMENT, PlainText(text="words"))
    assert (part.filename, part.context) == ("T", "C")


def test_a_document_of_texts_is_one_text_and_one_with_images_falls_apart() -> None:
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    (part,) = first_parts({"type": "document", "source": {"type": "content", "content": texts}})
    assert part.source == PlainText(text="a\nb")
    image = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    block = {"type": "document", "source": {"type": "content", "content": [*texts, image]}}
    assert [type(part) for part in first_parts(block)] == [TextPart, TextPart, MediaPart]
    assert lost(a_body(block)) == [("document_taken_apart", "/messages/0/content/0", LossClass.SEMANTIC, False)]


def test_what_a_search_found_is_a_document() -> None:
    block = {"type": "search_result", "source": "https://x", "title": "T", "content": [{"type": "text", "text": "a"}]}
    (part,) = first_parts(block)
    assert (part.source, part.filename, part.context) == (PlainText(text="a"), "T", "https://x")
    assert lost(a_body(block)) == [("search_result", "/messages/0/content/0", LossClass.SEMANTIC, False)]


def test_calls_and_results_are_read() -> None:
    body = a_body()
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"b": 1, "a": [None]}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok", "is_error": True}
    empty = {"type": "tool_result", "tool_use_id": "toolu_2"}
    body["messages"] += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result, empty]}]
    turns = read_request(body).turns
    assert turns[1].parts == (
        CallPart(
            id="toolu_1",
            name="f",
            arguments={"b": 1, "a": [None]},
            arguments_text='{"b":1,"a":[null]}',
            path="/messages/1/content/0",
        ),
    )
    text = TextPart(text="ok", path="/messages/2/content/0/content")
    assert turns[2].parts == (
        ResultPart(call_id="toolu_1", parts=(text,), is_error=True, path="/messages/2/content/0"),
        ResultPart(call_id="toolu_2", parts=(), path="/messages/2/content/1"),
    )


def test_thoughts_are_thoughts_and_foreign_blocks_are_opaque() -> None:
    raw = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        raw,
    ]
    body = a_body()
    body["messages"] += [{"role": "assistant", "content": blocks}]
    path = "/messages/1/content"
    assert read_request(body).turns[1].parts == (
        ReasoningPart(text="hm", signature="s", path=f"{path}/0"),
        ReasoningPart(signature="d", path=f"{path}/1"),
        OpaquePart(kind="server_tool_use", raw=raw, path=f"{path}/2"),
    )


def test_tools_are_functions_or_hosted() -> None:
    schema = {"type": "object", "properties": {}}
    own = {"name": "f", "description": "d", "input_schema": schema, "strict": True, "cache_control": {"type": "x"}}
    hosted = [{"type": "web_search_20250305", "name": "web_search"}, {"type": "bash_20250124", "name": "bash"}]
    first, second, third = read_request(a_body(tools=[own, *hosted])).tools
    assert (first.name, first.description, first.schema, first.strict, first.cache) == ("f", "d", schema, True, "")
    assert (second.kind, second.name) == (ToolKind.HOSTED, "web_search_20250305")
    assert third.kind is ToolKind.HOSTED


@pytest.mark.parametrize(
    ("choice", "mode", "names", "parallel"),
    [
        ({"type": "auto"}, ChoiceMode.AUTO, (), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ChoiceMode.REQUIRED, (), False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, ChoiceMode.REQUIRED, ("f",), True),
        ({"type": "none"}, ChoiceMode.NONE, (), None),
    ],
)
def test_choices_are_read(choice: dict[str, Any], mode: ChoiceMode, names: tuple[str, ...], parallel: Any) -> None:
    request = read_request(a_body(tool_choice=choice))
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.tool_choice.names) == (mode, names)
    assert request.parallel_tools is parallel


@pytest.mark.parametrize(
    ("changes", "mode", "effort", "budget", "summary"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Thinking.ON, None, 2048, None),
        ({"thinking": {"type": "adaptive"}}, Thinking.AUTO, None, None, None),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, Thinking.AUTO, None, None, True),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}},
            Thinking.ON,
            "max",
            None,
            False,
        ),
        ({"thinking": {"type": "disabled"}}, Thinking.OFF, None, None, None),
        ({"thinking": {"type": "between_tools"}}, Thinking.OFF, None, None, None),
        ({"output_config": {"effort": "low"}}, Thinking.ON, "low", None, None),
    ],
)
def test_thinking_is_read(changes: dict[str, Any], mode: Thinking, effort: Any, budget: Any, summary: Any) -> None:
    reasoning = read_request(a_body(**changes)).reasoning
    assert reasoning is not None
    assert (reasoning.mode, reasoning.effort) == (mode, effort)
    assert (reasoning.budget_tokens, reasoning.summary) == (budget, summary)


def test_a_schema_is_read_from_either_field_the_newer_first() -> None:
    old, new = ({"type": "json_schema", "schema": {"title": title}} for title in ("old", "new"))
    body = a_body(output_format=old)
    wanted = read_request(body).format
    assert wanted is not None
    assert (wanted.kind, wanted.schema, wanted.path) == (FormatKind.JSON_SCHEMA, {"title": "old"}, "/output_format")
    wanted = read_request({**body, "output_config": {"format": new}}).format
    assert wanted is not None
    assert (wanted.schema, wanted.path) == ({"title": "new"}, "/output_config/format")


def test_the_older_version_s_sampling_is_read() -> None:
    sampling = read_request(a_body(temperature=0.5, top_p=0.9, top_k=5)).sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 5)


def test_identity_and_tier_are_read_in_common_words() -> None:
    request = read_request(a_body(metadata={"user_id": "u"}, service_tier="standard_only", stop_sequences=["END"]))
    assert (request.user_id, request.service_tier, request.stop) == ("u", "default", ("END",))


def test_null_is_unset() -> None:
    keys = ("system", "tools", "tool_choice", "temperature", "thinking", "output_config", "metadata", "container")
    assert read_request(a_body(**dict.fromkeys(keys))) == read_request(a_body())


HINT, SAMPLING, CONTENT = LossClass.HINT, LossClass.SAMPLING, LossClass.CONTENT


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cache_control": {"type": "ephemeral"}}, ("unsupported_field", "/cache_control", HINT, False)),
        ({"diagnostics": {"previous_message_id": "x"}}, ("unsupported_field", "/diagnostics", HINT, False)),
        ({"speed": "fast"}, ("unsupported_field", "/speed", HINT, False)),
        ({"context_management": {"edits": []}}, ("unsupported_field", "/context_management", SAMPLING, False)),
        ({"inference_geo": "eu"}, ("unsupported_field", "/inference_geo", CONTENT, True)),
        ({"container": "c"}, ("unsupported_field", "/container", CONTENT, False)),
        ({"mcp_servers": [{"url": "https://x"}]}, ("hosted_tool", "/mcp_servers", CONTENT, True)),
        ({"stream": True}, ("unsupported_field", "/stream", CONTENT, False)),
        ({"max_tokens": 0}, ("unsupported_field", "/max_tokens", CONTENT, False)),
        ({"some/thing~": 1}, ("unknown_field", "/some~1thing~0", SAMPLING, False)),
        ({"metadata": {"other": 1}}, ("unknown_field", "/metadata/other", SAMPLING, False)),
        (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
            ("unsupported_field", "/output_config/effort", SAMPLING, False),
        ),
        (
            {"output_config": {"task_budget": {"type": "tokens"}}},
            ("unknown_field", "/output_config/task_budget", SAMPLING, False),
        ),
        (
            {"tools": [{"name": "f", "input_schema": {}, "input_examples": [{}]}]},
            ("unsupported_field", "/tools/0/input_examples", SAMPLING, False),
        ),
    ],
)
def test_what_has_no_place_is_named_with_its_class(changes: dict[str, Any], expected: Any) -> None:
    assert lost(a_body(**changes)) == [expected]


BLOCKS: list[tuple[str, dict[str, Any]]] = [
    ("user", {"type": "text", "text": "x"}),
    ("user", {"type": "image", "source": {"type": "url", "url": "https://x"}}),
    ("user", {"type": "document", "source": {"type": "url", "url": "https://x"}}),
    ("user", {"type": "search_result", "source": "s", "title": "t", "content": "x"}),
    ("user", {"type": "tool_result", "tool_use_id": "1", "content": "x"}),
    ("assistant", {"type": "tool_use", "id": "1", "name": "f", "input": {}}),
    ("assistant", {"type": "thinking", "thinking": "x", "signature": "s"}),
    ("assistant", {"type": "redacted_thinking", "data": "x"}),
]


@pytest.mark.parametrize(("role", "block"), BLOCKS)
def test_a_member_of_a_block_that_nobody_knows_is_named(role: str, block: dict[str, Any]) -> None:
    body = a_body(messages=[{"role": role, "content": [{**block, "new": 1}]}])
    assert ("unknown_field", "/messages/0/content/0/new", SAMPLING, False) in lost(body)
    plain = a_body(messages=[{"role": role, "content": [block]}])
    assert "unknown_field" not in [code for code, *_ in lost(plain)]


def test_a_member_of_a_message_that_nobody_knows_is_named() -> None:
    body = a_body(messages=[{"role": "user", "content": "x", "name": "Ann"}])
    assert lost(body) == [("unknown_field", "/messages/0/name", SAMPLING, False)]


def test_citations_of_a_text_are_a_hint_and_of_a_document_a_wish() -> None:
    cited = {"type": "text", "text": "x", "citations": [{"type": "char_location"}]}
    assert lost(a_body(cited)) == [("unsupported_field", "/messages/0/content/0/citations", HINT, False)]
    source = {"type": "text", "media_type": "text/plain", "data": "x"}
    wish = {"type": "document", "source": source, "citations": {"enabled": True}}
    assert lost(a_body(wish)) == [("unsupported_field", "/messages/0/content/0/citations", SAMPLING, False)]


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "/messages"),
    ({"messages": None}, "/messages"),
    ({"messages": "Hello"}, "/messages"),
    ({"messages": ["Hello"]}, "/messages/0"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "/messages/0/role"),
    ({"messages": [{"role": "user"}]}, "/messages/0/content"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "/messages/0/content/0"),
    ({"messages": [{"role": "user", "content": [{}]}]}, "/messages/0/content/0/type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "/messages/0/content/0/text"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}]},
        "/messages/0/content/0",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f"}]}]},
        "/messages/0/content/0/input",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "disk"}}]}]},
        "/messages/0/content/0/source/type",
    ),
    ({"max_tokens": None}, "/max_tokens"),
    ({"max_tokens": "many"}, "/max_tokens"),
    ({"max_tokens": -1}, "/max_tokens"),
    ({"max_tokens": True}, "/max_tokens"),
    ({"system": 7}, "/system"),
    ({"system": [{"type": "image"}]}, "/system/0/type"),
    ({"tools": {}}, "/tools"),
    ({"tools": [{"name": "f"}]}, "/tools/0/input_schema"),
    ({"tool_choice": "auto"}, "/tool_choice"),
    ({"tool_choice": {"type": "tool"}}, "/tool_choice/name"),
    ({"tool_choice": {"type": "maybe"}}, "/tool_choice/type"),
    ({"thinking": {"type": "enabled"}}, "/thinking/budget_tokens"),
    ({"thinking": {"type": "hard"}}, "/thinking/type"),
    ({"output_config": {"format": {"type": "text"}}}, "/output_config/format"),
    ({"service_tier": "gold"}, "/service_tier"),
    ({"stop_sequences": ["a", 1]}, "/stop_sequences/1"),
    ({"temperature": "hot"}, "/temperature"),
]


@pytest.mark.parametrize(("changes", "pointer"), MALFORMED)
def test_what_is_no_request_is_refused_by_its_place(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read_request(a_body(**changes))
    assert refused.value.pointer == pointer
    assert refused.value.why

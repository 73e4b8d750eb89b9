"""Request bodies of OpenAI's dialects, drawn at random."""

from typing import Any

from tests.protocols.drawing import Body, Drawing


def chat(draw: Drawing) -> Body:
    messages: list[Body] = []
    if draw.chance(0.4):
        messages.append({"role": draw.random.choice(("system", "developer")), "content": draw.text()})
    for _ in range(draw.random.randint(1, 4)):
        messages.append({"role": "user", "content": _chat_content(draw)})
        if draw.chance(0.3):
            messages += _chat_calls(draw)
        elif draw.chance(0.5):
            messages.append({"role": "assistant", "content": draw.text()})
        if draw.chance(0.1):
            messages.append({"role": "system", "content": draw.text()})
    if messages[-1]["role"] == "assistant" and draw.chance(0.9):
        messages.append({"role": "user", "content": "go on"})
    body: Body = {"model": "m", "messages": messages}
    draw.maybe(body, "tools", lambda: [_chat_tool(draw) for _ in range(draw.random.randint(0, 3))])
    choice = ("auto", "none", "required", {"type": "function", "function": {"name": draw.tool_name()}})
    draw.maybe(body, "tool_choice", lambda: draw.random.choice(choice))
    draw.maybe(body, "parallel_tool_calls", lambda: draw.chance(0.5), 0.1)
    draw.maybe(body, draw.random.choice(("max_tokens", "max_completion_tokens")), lambda: draw.random.randint(1, 5000))
    draw.maybe(body, "stop", lambda: draw.random.choice(("END", ["a", "b"], [" "], list("abcdef"))))
    draw.maybe(body, "n", lambda: draw.random.randint(1, 3), 0.1)
    draw.sampling(body, "temperature", "top_p", "presence_penalty", "frequency_penalty")
    draw.maybe(body, "seed", lambda: draw.random.choice((1, 2**40)), 0.1)
    draw.maybe(body, "response_format", lambda: _chat_format(draw))
    draw.maybe(body, "reasoning_effort", lambda: draw.random.choice(("none", "minimal", "low", "high", "max")), 0.1)
    draw.maybe(body, "user", draw.word, 0.1)
    draw.maybe(body, "metadata", draw.json_object, 0.1)
    draw.maybe(body, "x_unknown", draw.json, 0.05)
    return body


def _chat_content(draw: Drawing) -> Any:
    if draw.chance(0.6):
        return draw.text()
    url = draw.random.choice(("https://example.org/a.png", f"data:{draw.mime()};base64,QUJD"))
    parts = (
        {"type": "text", "text": draw.text()},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    )
    return [draw.random.choice(parts) for _ in range(draw.random.randint(1, 3))]


def _chat_calls(draw: Drawing) -> list[Body]:
    ids = draw.call_ids(draw.random.randint(1, 3))
    arguments = ('{"a": 1.10, "b": 123456789012345678901234567890}', "{}", "", "not json", '{"x": "\\ud83d"}')
    calls = [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": draw.tool_name(), "arguments": draw.random.choice(arguments)},
        }
        for call_id in ids
    ]
    results = [{"role": "tool", "tool_call_id": call_id, "content": draw.result()} for call_id in ids]
    draw.random.shuffle(results)
    if draw.chance(0.1):
        results.pop()
    return [{"role": "assistant", "content": draw.text() or None, "tool_calls": calls}, *results]


def _chat_tool(draw: Drawing) -> Body:
    if draw.chance(0.05):
        return {"type": "custom", "custom": {"name": "grammar"}}
    function: Body = {"name": draw.tool_name()}
    draw.maybe(function, "parameters", draw.object_schema, 0.8)
    draw.maybe(function, "description", draw.text)
    draw.maybe(function, "strict", lambda: True)
    return {"type": "function", "function": function}


def _chat_format(draw: Drawing) -> Body:
    schema = {"name": "answer", "schema": draw.object_schema(), "strict": draw.chance(0.5)}
    formats: tuple[Body, ...] = (
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": schema},
    )
    return draw.random.choice(formats)


def responses(draw: Drawing) -> Body:
    items: list[Body] = []
    for _ in range(draw.random.randint(1, 4)):
        content: Any = draw.text()
        if draw.chance(0.3):
            content = [
                {"type": "input_text", "text": draw.text()},
                {"type": "input_image", "image_url": "https://a.b/c.png"},
            ]
        items.append({"role": draw.random.choice(("user", "user", "developer")), "content": content})
        if draw.chance(0.3):
            ids = draw.call_ids(draw.random.randint(1, 2))
            items += [
                {"type": "function_call", "call_id": i, "name": draw.tool_name(), "arguments": '{"a": 1}'} for i in ids
            ]
            items += [{"type": "function_call_output", "call_id": i, "output": draw.result()} for i in reversed(ids)]
        elif draw.chance(0.3):
            said = [{"type": "output_text", "text": draw.text(), "annotations": []}]
            items.append(
                {"type": "message", "role": "assistant", "content": said, "id": "msg_1", "status": "completed"}
            )
            items.append({"role": "user", "content": "go on"})
        if draw.chance(0.1):
            items.append({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]})
            items.append({"role": "user", "content": "go on"})
    body: Body = {"model": "m", "input": draw.text() if draw.chance(0.2) else items}
    draw.maybe(body, "instructions", draw.text)
    draw.maybe(body, "tools", lambda: [_flat_tool(draw) for _ in range(draw.random.randint(0, 3))])
    choice = ("auto", "none", "required", {"type": "function", "name": draw.tool_name()})
    draw.maybe(body, "tool_choice", lambda: draw.random.choice(choice))
    draw.maybe(body, "max_output_tokens", lambda: draw.random.randint(16, 5000))
    form = {"type": "json_schema", "name": "a", "schema": draw.object_schema(), "strict": True}
    draw.maybe(body, "text", lambda: {"format": draw.random.choice(({"type": "text"}, {"type": "json_object"}, form))})
    draw.maybe(body, "reasoning", lambda: {"effort": draw.random.choice(("low", "high", None)), "summary": "auto"})
    draw.sampling(body, "temperature", "top_p")
    draw.maybe(body, "store", lambda: False)
    draw.maybe(body, "previous_response_id", lambda: "resp_1", 0.03)
    draw.maybe(body, "metadata", lambda: {"a": "b"}, 0.1)
    draw.maybe(body, "x_unknown", draw.json, 0.05)
    return body


def _flat_tool(draw: Drawing) -> Body:
    if draw.chance(0.05):
        return {"type": "web_search"}
    return {
        "type": "function",
        "name": draw.tool_name(),
        "parameters": draw.object_schema(),
        "strict": draw.chance(0.5),
    }


def embeddings(draw: Drawing) -> Body:
    inputs: Any = draw.random.choice((draw.text(), [draw.text(), draw.text()], [1, 2, 3], [[1], [2]]))
    body: Body = {"model": "m", "input": inputs}
    draw.maybe(body, "dimensions", lambda: 8)
    draw.maybe(body, "encoding_format", lambda: "base64")
    draw.maybe(body, "user", draw.word)
    return body

"""Request bodies of Anthropic's and Gemini's dialects, drawn at random."""

from typing import Any

from tests.protocols.drawing import Body, Drawing


def messages(draw: Drawing) -> Body:
    messages: list[Body] = []
    for _ in range(draw.random.randint(1, 4)):
        messages.append({"role": "user", "content": _blocks(draw)})
        if draw.chance(0.4):
            ids = draw.call_ids(draw.random.randint(1, 3))
            calls = [{"type": "tool_use", "id": i, "name": draw.tool_name(), "input": draw.json_object()} for i in ids]
            results: list[Body] = [{"type": "tool_result", "tool_use_id": i, "content": draw.result()} for i in ids]
            if draw.chance(0.2):
                results[0]["is_error"] = True
            draw.random.shuffle(results)
            messages.append({"role": "assistant", "content": [{"type": "text", "text": "hm"}, *calls]})
            messages.append({"role": "user", "content": [*results, {"type": "text", "text": draw.text()}]})
        elif draw.chance(0.3):
            thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
            messages.append({"role": "assistant", "content": [thought, {"type": "text", "text": draw.text()}]})
            messages.append({"role": "user", "content": "go on"})
    body: Body = {"model": "m", "max_tokens": draw.random.randint(1, 5000), "messages": messages}
    marked = {"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}
    draw.maybe(body, "system", lambda: draw.random.choice((draw.text(), [marked])))
    draw.maybe(body, "tools", lambda: [_claude_tool(draw) for _ in range(draw.random.randint(0, 3))])
    choice = ({"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": draw.tool_name()})
    draw.maybe(body, "tool_choice", lambda: draw.random.choice(choice))
    draw.sampling(body, "temperature", "top_p")
    draw.maybe(body, "top_k", lambda: 5, 0.1)
    draw.maybe(body, "stop_sequences", lambda: draw.random.choice((["END"], [" "], [])), 0.1)
    thinking = ({"type": "disabled"}, {"type": "enabled", "budget_tokens": 2000}, {"type": "adaptive"})
    draw.maybe(body, "thinking", lambda: draw.random.choice(thinking), 0.1)
    form = {"format": {"type": "json_schema", "schema": draw.object_schema()}}
    draw.maybe(body, "output_config", lambda: draw.random.choice((form, {"effort": "high"})), 0.1)
    draw.maybe(body, "metadata", lambda: {"user_id": draw.word()}, 0.1)
    draw.maybe(body, "x_unknown", draw.json, 0.05)
    return body


def _blocks(draw: Drawing) -> Any:
    if draw.chance(0.5):
        return draw.text()
    source = draw.random.choice(
        ({"type": "url", "url": "https://a.b/c"}, {"type": "base64", "media_type": draw.mime(), "data": "QUJD"})
    )
    blocks = (
        {"type": "text", "text": draw.text()},
        {"type": "image", "source": source},
        {"type": "document", "source": source},
    )
    return [draw.random.choice(blocks) for _ in range(draw.random.randint(1, 3))]


def _claude_tool(draw: Drawing) -> Body:
    if draw.chance(0.05):
        return {"type": "web_search_20250305", "name": "web_search"}
    return {"name": draw.tool_name(), "input_schema": draw.object_schema()}


def generate(draw: Drawing) -> Body:
    contents: list[Body] = []
    snake = draw.chance(0.3)
    for _ in range(draw.random.randint(1, 4)):
        contents.append({"role": "user", "parts": _gemini_parts(draw, snake=snake)})
        if draw.chance(0.4):
            names = [draw.tool_name() for _ in range(draw.random.randint(1, 3))]
            call, answer = ("function_call", "function_response") if snake else ("functionCall", "functionResponse")
            calls = [{call: {"name": name, "args": draw.json_object()}} for name in names]
            contents.append({"role": "model", "parts": calls})
            contents.append(
                {
                    "role": "user",
                    "parts": [{answer: {"name": name, "response": {"output": draw.result()}}} for name in names],
                }
            )
        elif draw.chance(0.4):
            contents.append({"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": draw.text()}]})
            contents.append({"role": "user", "parts": [{"text": "go on"}]})
    body: Body = {"contents": contents}
    draw.maybe(body, "systemInstruction", lambda: {"parts": [{"text": draw.text()}]})
    draw.maybe(body, "tools", lambda: [_gemini_tool(draw)])
    draw.maybe(
        body,
        "toolConfig",
        lambda: {"functionCallingConfig": {"mode": draw.random.choice(("AUTO", "ANY", "NONE", "VALIDATED"))}},
    )
    config: Body = {}
    draw.maybe(config, "maxOutputTokens", lambda: draw.random.choice((100, "100")))
    draw.sampling(config, "temperature", "topP")
    draw.maybe(config, "candidateCount", lambda: 2, 0.1)
    draw.maybe(config, "stopSequences", lambda: ["END"], 0.1)
    draw.maybe(config, "responseMimeType", lambda: "application/json", 0.1)
    draw.maybe(config, "responseJsonSchema", draw.object_schema, 0.1)
    draw.maybe(
        config, "thinkingConfig", lambda: draw.random.choice(({"thinkingBudget": 0}, {"thinkingLevel": "LOW"})), 0.1
    )
    draw.maybe(body, "generationConfig", lambda: config, 0.6)
    draw.maybe(body, "safetySettings", lambda: [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}], 0.1)
    draw.maybe(body, "x_unknown", draw.json, 0.05)
    return body


def _gemini_parts(draw: Drawing, *, snake: bool) -> list[Body]:
    inline = {"mime_type": draw.mime(), "data": "QUJD"} if snake else {"mimeType": draw.mime(), "data": "QUJD"}
    parts: tuple[Body, ...] = (
        {"text": draw.text()},
        {"inline_data" if snake else "inlineData": inline},
        {"fileData": {"fileUri": "https://a.b/c.png", "mimeType": "image/png"}},
    )
    return [draw.random.choice(parts) for _ in range(draw.random.randint(1, 3))]


def _gemini_tool(draw: Drawing) -> Body:
    if draw.chance(0.05):
        return {"googleSearch": {}}
    key = draw.random.choice(("parameters", "parametersJsonSchema"))
    return {"functionDeclarations": [{"name": draw.tool_name(), key: draw.object_schema()} for _ in range(2)]}

"""Request bodies of every dialect, drawn from a seeded generator: mostly what producers write, sometimes odd."""

import random
from collections.abc import Callable
from typing import Any

from broker.domain.dialect import Dialect

Body = dict[str, Any]
_WORDS = (
    "weather",
    "Größe",
    "数据",
    "😀",
    "a b",
    "\ud83d",
    "",
    " ",
    "\n",
    'quo"te',
    "back\\slash",
    "1.10",
    "null",
    "é" * 40,
)
_TOOL_NAMES = ("get_weather", "get weather", "a.b:c", "später", "x" * 70, "get_weather_", "Get_Weather", "9lives")
_IDS = ("call_1", "call 1", "call.1", "toolu_01A", "fc_ü", "x" * 90, "call_1_", "0")
_MIMES = (
    "image/png",
    "image/jpeg",
    "image/bmp",
    "application/pdf",
    "audio/wav",
    "audio/mpeg",
    "text/plain",
    "video/mp4",
)
_ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    [],
    {},
    [None],
    {"a": None},
    10**30,
    [[1]],
    {"type": 7},
)


class Bodies:
    """Draws bodies; the same seed draws the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._results = 0

    def draw(self, dialect: Dialect, *, odd: float = 0.1) -> Body:
        """One body of a dialect; the share `odd` of them is spoilt somewhere."""
        body = _MAKERS[dialect](self)
        if self.chance(odd):
            self._spoil(body)
        return body

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def word(self) -> str:
        return self.random.choice(_WORDS)

    def text(self) -> str:
        return " ".join(self.word() for _ in range(self.random.randint(0, 4)))

    def result(self) -> str:
        """What a tool answers: no two are the same, so that none can be taken for another."""
        self._results += 1
        return f"result <{self._results}>"

    def maybe(self, body: Body, key: str, value: Callable[[], Any], probability: float = 0.25) -> None:
        if self.chance(probability):
            body[key] = value() if self.chance(0.95) else None

    def json(self, depth: int = 0) -> Any:
        pick = self.random.randint(0, 7 if depth < 3 else 5)
        match pick:
            case 6:
                return [self.json(depth + 1) for _ in range(self.random.randint(0, 3))]
            case 7:
                return self.json_object(depth + 1)
            case _:
                return (self.word(), self.random.randint(-9, 9), 2**70, 0.1, None, True)[pick]

    def json_object(self, depth: int = 0) -> Body:
        return {self.word(): self.json(depth) for _ in range(self.random.randint(0, 3))}

    def schema(self, depth: int = 0) -> Body:
        kind = self.random.choice(("object", "string", "number", "array", "boolean", "enum"))
        if depth > 2 or kind in ("string", "number", "boolean"):
            return {"type": "string" if kind not in ("number", "boolean") else kind}
        if kind == "enum":
            return {"enum": ["a", "b"], "minLength": 2}
        if kind == "array":
            return {"type": "array", "items": self.schema(depth + 1)}
        names = [f"p{index}" for index in range(self.random.randint(0, 3))]
        schema: Body = {"type": "object", "properties": {name: self.schema(depth + 1) for name in names}}
        self.maybe(schema, "required", lambda: names, 0.5)
        self.maybe(schema, "additionalProperties", lambda: False, 0.5)
        return schema

    def object_schema(self) -> Body:
        return {"type": "object", "properties": {"place": self.schema(1)}} | (
            {"required": ["place"]} if self.chance(0.5) else {}
        )

    def tool_name(self) -> str:
        return self.random.choice(_TOOL_NAMES)

    def call_ids(self, count: int) -> list[str]:
        return self.random.sample(_IDS, count)

    def mime(self) -> str:
        return self.random.choice(_MIMES)

    def sampling(self, body: Body, *names: str) -> None:
        for name in names:
            self.maybe(body, name, lambda: self.random.choice((0, 0.3, 1, 1.7, 2)), 0.1)

    def _spoil(self, value: Any) -> None:
        """Put something odd somewhere."""
        while True:
            inner = list(value.values()) if isinstance(value, dict) else value
            deeper = [entry for entry in inner if isinstance(entry, dict | list) and entry]
            if not deeper or self.chance(0.3):
                break
            value = self.random.choice(deeper)
        odd = self.random.choice(_ODD_VALUES)
        if isinstance(value, dict):
            value[self.random.choice([*value, "strange/key~1"])] = odd
        else:
            value[self.random.randrange(len(value))] = odd


def _chat(draw: Bodies) -> Body:
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


def _chat_content(draw: Bodies) -> Any:
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


def _chat_calls(draw: Bodies) -> list[Body]:
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


def _chat_tool(draw: Bodies) -> Body:
    if draw.chance(0.05):
        return {"type": "custom", "custom": {"name": "grammar"}}
    function: Body = {"name": draw.tool_name()}
    draw.maybe(function, "parameters", draw.object_schema, 0.8)
    draw.maybe(function, "description", draw.text)
    draw.maybe(function, "strict", lambda: True)
    return {"type": "function", "function": function}


def _chat_format(draw: Bodies) -> Body:
    schema = {"name": "answer", "schema": draw.object_schema(), "strict": draw.chance(0.5)}
    formats: tuple[Body, ...] = (
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": schema},
    )
    return draw.random.choice(formats)


def _responses(draw: Bodies) -> Body:
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


def _flat_tool(draw: Bodies) -> Body:
    if draw.chance(0.05):
        return {"type": "web_search"}
    return {
        "type": "function",
        "name": draw.tool_name(),
        "parameters": draw.object_schema(),
        "strict": draw.chance(0.5),
    }


def _messages(draw: Bodies) -> Body:
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


def _blocks(draw: Bodies) -> Any:
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


def _claude_tool(draw: Bodies) -> Body:
    if draw.chance(0.05):
        return {"type": "web_search_20250305", "name": "web_search"}
    return {"name": draw.tool_name(), "input_schema": draw.object_schema()}


def _generate(draw: Bodies) -> Body:
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


def _gemini_parts(draw: Bodies, *, snake: bool) -> list[Body]:
    inline = {"mime_type": draw.mime(), "data": "QUJD"} if snake else {"mimeType": draw.mime(), "data": "QUJD"}
    parts: tuple[Body, ...] = (
        {"text": draw.text()},
        {"inline_data" if snake else "inlineData": inline},
        {"fileData": {"fileUri": "https://a.b/c.png", "mimeType": "image/png"}},
    )
    return [draw.random.choice(parts) for _ in range(draw.random.randint(1, 3))]


def _gemini_tool(draw: Bodies) -> Body:
    if draw.chance(0.05):
        return {"googleSearch": {}}
    key = draw.random.choice(("parameters", "parametersJsonSchema"))
    return {"functionDeclarations": [{"name": draw.tool_name(), key: draw.object_schema()} for _ in range(2)]}


def _embeddings(draw: Bodies) -> Body:
    inputs: Any = draw.random.choice((draw.text(), [draw.text(), draw.text()], [1, 2, 3], [[1], [2]]))
    body: Body = {"model": "m", "input": inputs}
    draw.maybe(body, "dimensions", lambda: 8)
    draw.maybe(body, "encoding_format", lambda: "base64")
    draw.maybe(body, "user", draw.word)
    return body


_MAKERS: dict[Dialect, Callable[[Bodies], Body]] = {
    Dialect.OPENAI_CHAT: _chat,
    Dialect.OPENAI_RESPONSES: _responses,
    Dialect.OPENAI_EMBEDDINGS: _embeddings,
    Dialect.ANTHROPIC_MESSAGES: _messages,
    Dialect.GEMINI_GENERATE_CONTENT: _generate,
}

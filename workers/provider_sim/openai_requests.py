"""Reads OpenAI requests as far as a simulated provider needs to: what to answer, and how large it is."""

import orjson
from pydantic import JsonValue

from workers.provider_sim.answers import tokens_of
from workers.provider_sim.call import ChatCall, EmbeddingCall, Refused
from workers.provider_sim.openai_errors import invalid

_MESSAGE_OVERHEAD = 4
"""Tokens per message for role and framing."""
_OTHER_PART = 85
"""Tokens of a content part that is no text, such as a small image."""
_REPLY_OVERHEAD = 3
"""Tokens that open the reply."""
_MOST_CHOICES = 128
_MOST_TOKENS = 10_000_000
_MOST_DIMENSIONS = 4096
_HINT = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
)


def read_object(raw: bytes) -> dict[str, JsonValue]:
    """Return the body as a JSON object with a model; raises `Refused`."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise _refused(_HINT) from None
    if not isinstance(body, dict):
        raise _refused(_HINT)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise _refused("you must provide a model parameter", param="model")
    return body


def read_chat(body: dict[str, JsonValue]) -> ChatCall:
    """Read a chat completion request; raises `Refused`."""
    if body.get("stream"):
        raise _refused("Streaming is not simulated.", param="stream", code="unsupported_value")
    prompt, tokens = _conversation(body.get("messages"))
    if body.get("tools"):
        tokens += len(orjson.dumps(body["tools"])) // 4
    maximum = body.get("max_completion_tokens")
    if maximum is None:
        maximum = body.get("max_tokens")
    return ChatCall(
        model=str(body["model"]),
        prompt=prompt,
        input_tokens=tokens,
        max_output_tokens=None if maximum is None else _whole("max_tokens", maximum, _MOST_TOKENS),
        choices=_whole("n", _or(body.get("n"), 1), _MOST_CHOICES),
    )


def read_embeddings(body: dict[str, JsonValue], default_dimensions: int) -> EmbeddingCall:
    """Read an embeddings request; raises `Refused`."""
    inputs, tokens = _inputs(body.get("input"))
    encoding = _or(body.get("encoding_format"), "float")
    if encoding not in ("float", "base64"):
        raise _invalid_value("encoding_format", "expected 'float' or 'base64'")
    return EmbeddingCall(
        model=str(body["model"]),
        inputs=inputs,
        input_tokens=tokens,
        dimensions=_whole("dimensions", _or(body.get("dimensions"), default_dimensions), _MOST_DIMENSIONS),
        as_base64=encoding == "base64",
    )


def prompt_of(body: dict[str, JsonValue]) -> str:
    """Return the prompt that the answer to this chat request derives from; raises `Refused` as the server would."""
    return _conversation(body.get("messages"))[0]


def _conversation(messages: JsonValue) -> tuple[str, int]:
    """Return the text of the last user message (of the last one, if no user speaks), and the tokens of all."""
    if messages is None:
        raise _refused("Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter")
    if not isinstance(messages, list) or not messages:
        raise _invalid_value("messages", "expected a non-empty array of messages")
    prompt, spoken, tokens = None, "", _REPLY_OVERHEAD
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _invalid_value("messages", "each must be an object with a role")
        spoken, size = _content(message.get("content"))
        tokens += size + _MESSAGE_OVERHEAD
        if message["role"] == "user":
            prompt = spoken
    return spoken if prompt is None else prompt, tokens


def _content(content: JsonValue) -> tuple[str, int]:
    """Text and token count of a message's content."""
    if isinstance(content, str):
        return content, tokens_of(content)
    if not isinstance(content, list):
        return "", 0
    texts, tokens = [], 0
    for part in content:
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            texts.append(text)
            tokens += tokens_of(text)
        else:
            tokens += _OTHER_PART
    return "".join(texts), tokens


def _inputs(value: JsonValue) -> tuple[tuple[str, ...], int]:
    """Return each input as text, and the tokens of all; token ids become text so that they too have an answer."""
    is_list_of_many = isinstance(value, list) and not all(_is_token(item) for item in value)
    inputs, tokens = [], 0
    for item in value if isinstance(value, list) and is_list_of_many else [value]:
        if isinstance(item, str) and item:
            inputs.append(item)
            tokens += tokens_of(item)
        elif isinstance(item, list) and item and all(_is_token(token) for token in item):
            inputs.append(",".join(str(token) for token in item))
            tokens += len(item)
        else:
            raise _invalid_value("input", "expected a string, strings, tokens or arrays of tokens, none of them empty")
    return tuple(inputs), tokens


def _is_token(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _whole(param: str, value: JsonValue, most: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise _invalid_value(param, f"expected an integer from 1 to {most}")


def _or(value: JsonValue, default: JsonValue) -> JsonValue:
    return default if value is None else value


def _invalid_value(param: str, why: str) -> Refused:
    return _refused(f"Invalid value for '{param}': {why}.", param=param, code="invalid_value")


def _refused(message: str, *, param: str | None = None, code: str | None = None) -> Refused:
    return Refused("invalid_request", invalid(message, param=param, code=code))

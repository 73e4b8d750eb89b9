"""What a request asks: the prompt that its answer derives from, whatever protocol it is written in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from workers.provider_sim.answers import tokens_of

_MESSAGE_OVERHEAD = 4
"""Tokens per message for role and framing."""
_OTHER_PART = 85
"""Tokens of a content part that is no text, such as a small image."""
_REPLY_OVERHEAD = 3
"""Tokens that open the reply."""
_OPERATOR = frozenset({"system", "developer"})


@dataclass(slots=True)
class Conversation:
    """Listens to messages one by one, and knows the prompt and the size so far."""

    tokens: int = _REPLY_OVERHEAD
    has_results: bool = False
    """Whether a tool answered since the user last spoke."""
    _prompt: str | None = None
    _last: str = ""
    _is_users_turn: bool = False

    @property
    def prompt(self) -> str:
        """The text of the last turn of the user; of the last message, if no user spoke."""
        return self._last if self._prompt is None else self._prompt

    def hear(self, role: str, text: str, tokens: int) -> None:
        """Take in one message of that many tokens; a message of the operator ends no turn."""
        self.tokens += tokens + _MESSAGE_OVERHEAD
        self._last = text
        if role == "user":
            self._prompt = (self._prompt or "") + text if self._is_users_turn else text
            self._is_users_turn = True
            self.has_results = False
        elif role not in _OPERATOR:
            self._is_users_turn = False

    def hear_result(self, tokens: int) -> None:
        """Take in the result of a tool."""
        self.tokens += tokens + _MESSAGE_OVERHEAD
        self._last = ""
        self.has_results = True
        self._is_users_turn = False


def text_of(content: JsonValue) -> tuple[str, int]:
    """Return the text and the token count of a string or of a list of parts; a part with a `text` is text."""
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


def prompt_of(body: dict[str, JsonValue]) -> str:
    """Return the prompt that the answer to this request derives from; the body tells its protocol by its shape."""
    conversation = Conversation()
    if isinstance(body.get("input"), str):
        return str(body["input"])
    for role, content in _messages(body):
        text, tokens = text_of(content)
        if role == "tool" or (role in {"user", "function"} and not text and _has_results(content)):
            conversation.hear_result(tokens)
        else:
            conversation.hear(role, text, tokens)
    return conversation.prompt


def _messages(body: dict[str, JsonValue]) -> Iterable[tuple[str, JsonValue]]:
    """Yield role and content of each message of a chat, of items or of contents."""
    listed: Sequence[JsonValue] = ()
    for name in ("messages", "input", "contents"):
        found = body.get(name)
        if isinstance(found, list):
            listed = found
            break
    for message in listed:
        if not isinstance(message, dict):
            continue
        kind = message.get("type", "message")
        if kind == "function_call_output":
            yield "tool", None
        elif kind == "message" or "role" in message:
            content = message.get("content", message.get("parts"))
            yield str(message.get("role", "user")), content
        else:
            yield "assistant", None


def _has_results(content: JsonValue) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, dict)
        and (part.get("type") == "tool_result" or "functionResponse" in part or "function_response" in part)
        for part in content
    )

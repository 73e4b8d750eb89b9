"""Reads chat completion requests. Source: OpenAI API reference, "Create chat completion"."""

from typing import Any

from broker.domain.loss import LossClass
from broker.protocols.canonical.request import Request, Sampling, Unmapped
from broker.protocols.choices import MOST_CHOICES
from broker.protocols.fields import Object, an_object, array, flag, number, pointer, string, strings, unknown, whole
from broker.protocols.losses import MalformedRequest
from broker.protocols.openai_chat import format as answer_format
from broker.protocols.openai_chat import reasoning
from broker.protocols.openai_chat.messages import read_messages
from broker.protocols.openai_chat.tools import read_tool_choice, read_tools

_SAMPLING = {
    "temperature": number,
    "top_p": number,
    "top_k": whole,
    "seed": whole,
    "presence_penalty": number,
    "frequency_penalty": number,
    "logprobs": flag,
    "top_logprobs": whole,
    "logit_bias": an_object,
    "verbosity": string,
}
_HINTS = frozenset(
    {
        "store",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "prediction",
        "moderation",
    }
)
"""May always be dropped: they make an answer cheaper or quicker, or file it, and change nothing in it."""
_READ = frozenset(
    {
        *_SAMPLING,
        *_HINTS,
        *answer_format.FIELDS,
        *reasoning.FIELDS,
        "random_seed",
        "model",
        "messages",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "parallel_tool_calls",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "n",
        "user",
        "safety_identifier",
        "metadata",
        "service_tier",
        "stream",
        "stream_options",
        "modalities",
        "audio",
        "web_search_options",
    }
)


def read_request(body: Object) -> Request:
    """Read a body; raises `MalformedRequest`."""
    conversation = read_messages(array(body, "messages"))
    unmapped = [*conversation.unmapped, *unknown(body, _READ), *_left_over(body)]
    tools = read_tools(body, unmapped)
    pointers = {name: f"/{name}" for name in _SAMPLING if body.get(name) is not None}
    user_key = "user" if body.get("safety_identifier") is None else "safety_identifier"
    limit_key = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    pointers.setdefault("seed", "/random_seed")
    pointers |= {
        "max_output_tokens": f"/{limit_key}",
        "user_id": f"/{user_key}",
        "parallel_tools": "/parallel_tool_calls",
        **{name: f"/{name}" for name in ("n", "stop", "metadata", "service_tier")},
    }
    return Request(
        turns=conversation.turns,
        system=conversation.system,
        tools=tools,
        tool_choice=read_tool_choice(body),
        parallel_tools=flag(body, "parallel_tool_calls"),
        max_output_tokens=whole(body, limit_key),
        stop=_stop(body),
        n=_choices(body),
        sampling=_sampling(body),
        format=answer_format.read_format(body, unmapped),
        reasoning=reasoning.read_reasoning(body, unmapped),
        user_id=string(body, user_key),
        metadata=an_object(body, "metadata"),
        service_tier=string(body, "service_tier"),
        unmapped=tuple(unmapped),
        pointers=pointers,
    )


def _sampling(body: Object) -> Sampling:
    given = {name: read(body, name) for name, read in _SAMPLING.items() if name in body}
    if given.get("seed") is None and "random_seed" in body:  # Mistral's word
        given["seed"] = whole(body, "random_seed")
    return Sampling(**given)  # type: ignore[arg-type]  # each reader gives the type of its field


def _stop(body: Object) -> tuple[str, ...]:
    stop = body.get("stop")
    if stop is None:
        return ()
    if isinstance(stop, str):
        return (stop,)
    if isinstance(stop, list):
        return strings(stop, "/stop")
    raise MalformedRequest("/stop", "must be a string or an array of strings")


def _choices(body: Object) -> int:
    n = whole(body, "n")
    if n is not None and not 1 <= n <= MOST_CHOICES:  # where they are asked for one by one, each is paid for
        raise MalformedRequest("/n", f"must be from 1 to {MOST_CHOICES}")
    return 1 if n is None else n


def _left_over(body: Object) -> list[Unmapped]:
    """List what is known and has no place in the canonical form."""
    found = [
        Unmapped(path=f"/{key}", code="unsupported_field", detail=f"{key} is OpenAI's own", loss_class=LossClass.HINT)
        for key in _HINTS
        if body.get(key) is not None
    ]
    found.sort(key=lambda lost: lost.path)
    if body.get("stream"):
        found.append(_content("/stream", "a streamed answer cannot be translated"))
    modalities: Any = body.get("modalities")
    if modalities is not None and modalities != ["text"]:
        found.append(_content("/modalities", "only answers in text can be translated"))
    if body.get("audio") is not None:
        found.append(_content("/audio", "only answers in text can be translated"))
    if body.get("web_search_options") is not None:
        what = "web search is a tool that OpenAI runs itself"
        path = pointer("", "web_search_options")
        found.append(Unmapped(path=path, code="hosted_tool", detail=what, loss_class=LossClass.CONTENT, droppable=True))
    return found


def _content(path: str, detail: str) -> Unmapped:
    return Unmapped(path=path, code="unsupported_field", detail=detail, loss_class=LossClass.CONTENT)

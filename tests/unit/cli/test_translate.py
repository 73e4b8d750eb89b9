"""`penstock translate` and `penstock parse`: what is shown, and what is said of input that is none."""

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from broker.cli.translate import parse, translate

APP = typer.Typer()
APP.command()(translate)
APP.command()(parse)
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
HINT = "--on-loss drop sends it"


def translated(body: object, *more: str) -> Result:
    """Translate a chat for Anthropic; the body is JSON, or bytes as they are."""
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    options = ("--from", "openai-chat", "--to", "anthropic-messages", "--model", "claude-haiku-4-5", *more)
    return CliRunner().invoke(APP, ["translate", *options], input=given)


def test_what_would_be_sent_is_shown() -> None:
    shown = translated(CHAT)
    assert (shown.exit_code, shown.stderr) == (0, "")
    head, _, body = shown.stdout.partition("\n\n")
    assert head.splitlines()[0] == "POST /v1/messages"
    assert json.loads(body)["max_tokens"] == 9


def test_a_refusal_names_the_place_and_what_would_help() -> None:
    refused = translated({**CHAT, "seed": 7})
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "/seed" in refused.stderr
    assert HINT in refused.stderr
    dropped = translated({**CHAT, "seed": 7}, "--on-loss", "drop")
    assert dropped.exit_code == 0
    assert "/seed" in dropped.stderr


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {**CHAT, "stream": True},
        {**CHAT, "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
    ],
)
def test_dropping_is_not_proposed_where_it_does_not_help(body: Any) -> None:
    refused = translated(body)
    assert refused.exit_code == 2
    assert "this request cannot be said in anthropic-messages" in refused.stderr
    assert HINT not in refused.stderr


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"hello", "no JSON"),
        (b'{"messages": "\xff"}', "no JSON"),
        (b"[]", "a request is a JSON object"),
        (b"[" * 100_000, "deeper than 64 levels"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "deeper than 64 levels"),
    ],
)
def test_input_that_is_no_request_is_told_in_a_line(body: bytes, why: str) -> None:
    refused = translated(body)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("standard input: ")
    assert why in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("levels", [260, 500, 900, 5_000])
def test_arguments_that_are_nested_beyond_reason_are_no_object(levels: int) -> None:
    text = '{"a":' * levels + "1" + "}" * levels
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
    result = {"role": "tool", "tool_call_id": "c", "content": "x"}
    said = [*CHAT["messages"], {"role": "assistant", "tool_calls": [call]}, result]
    refused = translated({**CHAT, "messages": said})
    assert refused.exit_code == 2
    assert "/messages/1/tool_calls/0" in refused.stderr
    sent = translated({**CHAT, "messages": said}, "--on-loss", "drop", "--json")
    assert sent.exit_code == 0
    (used,) = json.loads(sent.stdout)["body"]["messages"][1]["content"]
    assert used["input"] == {"_raw": text}


def parsed(body: bytes, *more: str) -> Result:
    return CliRunner().invoke(APP, ["parse", "--protocol", "anthropic-messages", *more], input=body)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000, b"{}", b"null"])
def test_what_is_no_answer_is_understood_as_none(body: bytes) -> None:
    shown = parsed(body)
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["class"] == "malformed_answer"


def test_the_status_and_the_headers_count() -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}'
    facts = json.loads(parsed(body, "--status", "429", "--header", "Retry-After: 7").stdout)
    assert (facts["class"], facts["wait_s"], facts["scope"]) == ("rate_limited", 7.0, "same")


def test_a_key_in_an_error_is_not_shown() -> None:
    key = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789"
    body = b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key %b"}}' % key.encode()
    for more in ((), ("--as", "gemini-generateContent"), ("--as", "openai-chat")):
        shown = parsed(body, "--status", "401", *more)
        assert shown.exit_code == 0
        assert "invalid x-api-key" in shown.stdout
        assert key not in shown.stdout

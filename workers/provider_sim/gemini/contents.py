"""Listens to a conversation, and checks that roles, calls and results are in order."""

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from pydantic import JsonValue

from workers.provider_sim.gemini import fields
from workers.provider_sim.gemini.errors import refused
from workers.provider_sim.gemini.proto_json import message, messages
from workers.provider_sim.prompts import Conversation, text_of

Part = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One turn."""

    role: str
    place: str
    parts: Sequence[Part]

    def calls(self) -> list[Mapping[str, JsonValue]]:
        return [_inner(part, "functionCall") for part in self.parts if "functionCall" in part]

    def responses(self) -> list[Mapping[str, JsonValue]]:
        return [_inner(part, "functionResponse") for part in self.parts if "functionResponse" in part]


def hear(contents: JsonValue, conversation: Conversation, *, needs_role: bool, needs_signatures: bool) -> None:
    """Listen to all contents; raises `Refused`.

    `needs_role`: as Vertex does. `needs_signatures`: the first call of each step since the last text of the user must
    carry the thought that it came with, as Gemini 3 demands.
    """
    if contents is None or contents == []:
        raise refused("* GenerateContentRequest.contents: contents is not specified\n")
    turns = []
    for index, given in enumerate(messages(contents, "contents", fields.CONTENT)):
        turns.append(_content(given, f"contents[{index}]", needs_role=needs_role))
    if turns[-1].role == "model":
        raise refused("Please ensure that multiturn requests end with a user role or a function response turn.")
    _check_pairs(turns)
    if needs_signatures:
        _check_signatures(turns)
    for turn in turns:
        _hear_turn(turn, conversation)


def hear_system(content: JsonValue, conversation: Conversation) -> None:
    """Listen to the operator; raises `Refused`."""
    if content is None:
        return
    given = message(content, "system_instruction", fields.CONTENT)
    parts = messages(given.get("parts"), "system_instruction.parts", fields.PART)
    if any("text" not in part for part in parts):
        raise refused("System instruction can only contain text.")
    conversation.hear("system", *_text(parts))


def _content(given: Mapping[str, JsonValue], place: str, *, needs_role: bool) -> Content:
    role = given.get("role")
    if role not in ("user", "model", "function") and (role not in (None, "") or needs_role):
        raise refused("Please use a valid role: user, model.")
    parts = given.get("parts")
    if parts is None or parts == []:
        raise refused(f"* GenerateContentRequest.{place}.parts: contents.parts must not be empty.\n")
    read = messages(parts, f"{place}.parts", fields.PART)
    turn = Content(role=str(role or "user"), place=place, parts=read)
    for index, part in enumerate(read):
        _check_part(part, f"{place}.parts[{index}]", turn.role)
    return turn


def _check_part(part: Part, place: str, role: str) -> None:
    data = fields.DATA & part.keys()
    if len(data) != 1:
        raise refused(
            f"* GenerateContentRequest.{place}.data: required oneof field 'data' must have one initialized field"
        )
    match min(data):
        case "text":
            if not isinstance(part["text"], str):
                raise refused(f"Invalid value at '{place}.text' (TYPE_STRING)")
        case "functionCall":
            _check_call(part["functionCall"], f"{place}.function_call", role)
        case "functionResponse":
            _check_response(part["functionResponse"], f"{place}.function_response", role)
        case "inlineData":
            _check_blob(part["inlineData"], f"{place}.inline_data")


def _check_call(given: JsonValue, place: str, role: str) -> None:
    call = message(given, place, fields.CALL)
    _check_name(call, place)
    if not isinstance(call.get("args", {}), dict):
        raise refused(f"Invalid value at '{place}.args' (type.googleapis.com/google.protobuf.Struct)")
    if role != "model":
        raise refused("Please ensure that function call turns have the role model.")


def _check_response(given: JsonValue, place: str, role: str) -> None:
    response = message(given, place, fields.RESPONSE)
    _check_name(response, place)
    if not isinstance(response.get("response"), dict):
        raise refused(f"Invalid value at '{place}.response' (type.googleapis.com/google.protobuf.Struct)")
    if role == "model":
        raise refused("Please ensure that function response turns do not have the role model.")


def _check_blob(blob: JsonValue, place: str) -> None:
    given = message(blob, place, frozenset({"mimeType", "data", "displayName"}))
    if not isinstance(given.get("mimeType"), str) or not given["mimeType"]:
        raise refused(f"* GenerateContentRequest.{place}.mime_type: must not be empty")
    try:
        b64decode(str(given.get("data", "")), validate=True)
    except (binascii.Error, ValueError):
        raise refused(f"Invalid value at '{place}.data' (TYPE_BYTES), Base64 decoding failed") from None


def _check_name(named: Mapping[str, JsonValue], place: str) -> None:
    if not isinstance(named.get("name"), str) or not named["name"]:
        raise refused(f"* GenerateContentRequest.{place}.name: Name cannot be empty.\n")


def _check_pairs(turns: Sequence[Content]) -> None:
    """Check that the turn after calls has their results: as many, by their ids or in their order."""
    for index, turn in enumerate(turns):
        calls, responses = turns[index - 1].calls() if index else [], turn.responses()
        if responses and not calls:
            raise refused("Please ensure that function response turn comes immediately after a function call turn.")
        if len(calls) != len(responses):
            raise refused(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        if turn.calls() and (index == 0 or turns[index - 1].role == "model"):
            raise refused(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        _check_order(calls, responses)


def _check_order(calls: Sequence[Mapping[str, JsonValue]], responses: Sequence[Mapping[str, JsonValue]]) -> None:
    ids = {call.get("id"): call for call in calls if call.get("id")}
    for call, response in zip(calls, responses, strict=True):
        if response.get("id") and response["id"] not in ids and ids:
            raise refused(f"Function response with id {response['id']} answers no function call.")
        answered = ids.get(response.get("id"), call)
        if answered.get("name") != response.get("name"):
            raise refused("Please ensure that function response parts have the names of the function call parts.")
    given = [response["id"] for response in responses if response.get("id")]
    if len(set(map(str, given))) < len(given):
        raise refused("Two function responses have the same id.")


def _check_signatures(turns: Sequence[Content]) -> None:
    spoken = [index for index, turn in enumerate(turns) if turn.role == "user" and not turn.responses()]
    for index, turn in enumerate(turns):
        if spoken and index < spoken[-1]:
            continue
        first = next((part for part in turn.parts if "functionCall" in part), None)
        if first is not None and not first.get("thoughtSignature"):
            name = _inner(first, "functionCall").get("name")
            raise refused(
                f"Function call `{name}` in the {index + 1}. content block is missing a `thought_signature`. Learn "
                "more: https://ai.google.dev/gemini-api/docs/thought-signatures"
            )


def _hear_turn(turn: Content, conversation: Conversation) -> None:
    others = [part for part in turn.parts if "functionCall" not in part and "functionResponse" not in part]
    for response in turn.responses():
        conversation.hear_result(len(orjson.dumps(response)) // 4)
    size = sum(len(orjson.dumps(call)) // 4 for call in turn.calls())
    if others or turn.role == "model":
        text, tokens = _text([part for part in others if not part.get("thought")])
        conversation.hear("assistant" if turn.role == "model" else "user", text, tokens + size)


def _text(parts: Sequence[Part]) -> tuple[str, int]:
    return text_of([dict(part) for part in parts])


def _inner(part: Part, name: str) -> Mapping[str, JsonValue]:
    inner = part[name]
    return inner if isinstance(inner, dict) else {}

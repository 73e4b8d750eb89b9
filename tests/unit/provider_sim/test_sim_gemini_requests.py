"""What the simulated Gemini takes and refuses, in its own words."""

from typing import Any

import orjson
import pytest

from workers.provider_sim.answers import expected_json
from workers.provider_sim.call import Refused, TextCall
from workers.provider_sim.gemini.embeddings import read_many, read_one
from workers.provider_sim.gemini.requests import read_content
from workers.provider_sim.prompts import prompt_of

ASK: Any = {"role": "user", "parts": [{"text": "ask"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOLS = [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}]


def user(*parts: object) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: object) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def call(name: str = "f", **fields: object) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}, **fields}}


def response(name: str = "f", **fields: object) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {"output": "42"}, **fields}}


def read(served: str = "gemini-2.5-flash", *, needs_role: bool = False, **fields: Any) -> TextCall:
    return read_content(served, {"contents": [ASK], **fields}, needs_role=needs_role)


def message_of(raised: pytest.ExceptionInfo[Refused]) -> str:
    reply = raised.value.reply
    assert reply.status == 400
    error = orjson.loads(reply.body)["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    return str(error["message"])


def refusal(served: str = "gemini-2.5-flash", **fields: Any) -> str:
    with pytest.raises(Refused) as raised:
        read(served, **fields)
    return message_of(raised)


def generation(**fields: object) -> dict[str, Any]:
    return {"generationConfig": fields}


def function(**fields: object) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": [{"name": "f", **fields}]}]}


def calling(**fields: object) -> dict[str, Any]:
    return {"tools": TOOLS, "toolConfig": {"functionCallingConfig": fields}}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": []}, 'Unknown name "messages": Cannot find field.'),
        (generation(max_tokens=5), "Unknown name \"maxTokens\" at 'generation_config'"),
        (generation(temperature=2.5), "temperature: must be in the range"),
        (generation(temperature="hot"), "TYPE_FLOAT"),
        (generation(seed=2**31), "seed: must be in the range"),
        (generation(maxOutputTokens=0), "max_output_tokens: must be in the range"),
        (generation(candidateCount=9), "candidate_count"),
        (generation(stopSequences=list("abcdef")), "at most 5"),
        (generation(thinkingConfig={"thinkingBudget": 1, "thinkingLevel": "LOW"}), "only one of"),
        (generation(responseSchema={"type": "OBJECT"}), "needs response_mime_type"),
        (generation(responseMimeType="text/html"), "allowed mimetypes"),
        (
            generation(
                responseMimeType="application/json", responseSchema={"type": "STRING"}, responseJsonSchema=SCHEMA
            ),
            "may not both be set",
        ),
        (
            generation(responseMimeType="application/json", responseSchema={"type": "STRING", "const": 1}),
            "Unknown name \"const\" at 'generation_config.response_schema'",
        ),
        (
            generation(
                responseMimeType="application/json",
                responseJsonSchema={"properties": {"a": {"$ref": "#", "description": "x"}}},
            ),
            "$ref may not be set together with description",
        ),
        ({**generation(responseMimeType="application/json"), "tools": TOOLS}, "is unsupported"),
        ({"cachedContent": "cachedContents/x"}, "CachedContent not found"),
        ({"systemInstruction": {"parts": [{"inlineData": {}}]}}, "can only contain text"),
        (function(name="1f"), "Invalid function name"),
        (function(parameters={"type": "OBJECT"}), "should be non-empty for OBJECT type"),
        (function(parameters=SCHEMA, parametersJsonSchema=SCHEMA), "may not both be set"),
        (function(parameters={"type": "ARRAY"}), "items: missing field"),
        (function(parameters={"type": "STRING", "enum": [1]}), "enum"),
        (function(parameters={"type": "OBJECT", "properties": {"a": {}}, "required": ["b"]}), "not defined"),
        ({"tools": [{"googleSearch": {}}]}, "googleSearch is not simulated"),
        ({"tools": [*TOOLS, *TOOLS]}, "Duplicate function declaration"),
        (calling(mode="AUTO", allowedFunctionNames=["f"]), "needs mode ANY"),
        (calling(mode="ANY", allowedFunctionNames=["g"]), "not among the function declarations"),
        (calling(mode="SOME"), "FunctionCallingMode"),
    ],
)
def test_a_wrong_field_is_refused_in_the_apis_words(fields: dict[str, Any], words: str) -> None:
    assert words in refusal(**fields)


SAME_NUMBER = "number of function response parts is equal"


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ([], "contents is not specified"),
        ([{"role": "assistant", "parts": [{"text": "x"}]}], "valid role: user, model"),
        ([{"role": "user", "parts": []}], "must not be empty"),
        ([user({})], "must have one initialized field"),
        ([user({"text": "x", "inlineData": {}})], "must have one initialized field"),
        ([user({"txt": "x"})], 'Unknown name "txt"'),
        ([user({"inlineData": {"mimeType": "image/png", "data": "?"}})], "Base64 decoding failed"),
        ([ASK, model({"text": "x"})], "end with a user role"),
        ([ASK, model(call()), ASK], SAME_NUMBER),
        ([ASK, model(call(), call()), user(response())], SAME_NUMBER),
        ([ASK, model(call()), user(response("g"))], "have the names of the function call parts"),
        (
            [ASK, model(call(id="1"), call(id="2")), user(response(id="1"), response(id="3"))],
            "answers no function call",
        ),
        ([ASK, model(call(id="1"), call(id="2")), user(response(id="1"), response(id="1"))], "have the same id"),
        ([user(response())], "immediately after a function call turn"),
        ([model(call()), user(response())], "immediately after a user turn"),
        ([user(call()), user(response())], "have the role model"),
        ([ASK, model(call()), model(response())], "do not have the role model"),
        ([ASK, model(call()), user(response(response="42"))], "Struct"),
        ([ASK, model(call()), user(response(name=""))], "Name cannot be empty"),
    ],
)
def test_wrong_contents_are_refused_in_the_apis_words(contents: Any, words: str) -> None:
    assert words in refusal(contents=contents, tools=TOOLS)


def test_results_are_matched_by_id_before_their_order() -> None:
    contents: Any = [
        ASK,
        model(call("f", id="1"), call("g", id="2")),
        user(response("g", id="2"), response("f", id="1")),
    ]
    heard = read(contents=contents)
    assert heard.prompt == "ask" == prompt_of({"contents": contents})
    assert heard.wish is not None
    assert heard.wish.has_results


def test_a_model_of_the_third_family_wants_its_thoughts_back() -> None:
    signed = {**call(), "thoughtSignature": "eA=="}
    for parts, is_taken in (([call()], False), ([signed, call()], True), ([call(), signed], False)):
        contents = [ASK, model(*parts), user(*[response()] * len(parts))]
        assert read(contents=contents).prompt == "ask"
        if is_taken:
            read("gemini-3-pro", contents=contents)
        else:
            assert "missing a `thought_signature`" in refusal("gemini-3-pro", contents=contents)
    earlier = [ASK, model(call()), user(response()), model({"text": "so"}), ASK]
    assert read("gemini-3-pro", contents=earlier).prompt == "ask"


def test_both_spellings_of_a_field_mean_the_same_and_names_of_the_callers_own_are_kept() -> None:
    properties = {"two_words": {"type": "STRING"}, "n": {"any_of": [{"type": "INTEGER"}]}}
    snake: Any = {
        "contents": [{"parts": [{"text": "ask"}]}],
        "system_instruction": {"parts": [{"text": "s"}]},
        "generation_config": {
            "max_output_tokens": "7",
            "response_mime_type": "application/json",
            "response_schema": {"type": "OBJECT", "properties": properties},
        },
    }
    heard = read_content("m", snake, needs_role=False)
    assert heard.max_output_tokens == 7
    assert heard.wish is not None
    made: Any = expected_json("ask", heard.wish.schema)
    assert set(made) == {"two_words", "n"}


def test_vertex_wants_a_role() -> None:
    assert "valid role" in refusal(contents=[{"parts": [{"text": "x"}]}], needs_role=True)


def test_embeddings_are_read_one_by_one_or_many_at_once() -> None:
    content: Any = {"parts": [{"text": "two "}, {"text": "parts"}]}
    one = read_one("e", {"content": content, "output_dimensionality": 3}, 8)
    assert (one.inputs, one.dimensions) == (("two parts",), 3)
    many = read_many("e", {"requests": [{"model": "models/e", "content": content}] * 2}, 8)
    assert (many.inputs, many.dimensions) == (("two parts",) * 2, 8)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"requests": []}, "must not be empty"),
        ({"requests": [{"model": "models/other", "content": ASK}]}, "must match the model"),
        ({"requests": [{"model": "models/e", "content": {"parts": []}}]}, "must not be empty"),
        ({"requests": [{"model": "models/e", "content": ASK}] * 101}, "at most 100"),
        ({"requests": [{"model": "models/e", "content": ASK, "outputDimensionality": 0}]}, "must be in the range"),
    ],
)
def test_wrong_embeddings_are_refused(body: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as raised:
        read_many("e", body, 8)
    assert words in message_of(raised)

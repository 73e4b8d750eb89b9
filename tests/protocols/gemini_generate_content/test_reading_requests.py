"""What is understood of a request, and what has no place in the canonical form."""

import copy
import re
from typing import Any

import pytest

from broker.protocols.canonical.request import FormatKind, Reasoning, Thinking
from broker.protocols.losses import MalformedRequest
from tests.protocols.gemini_generate_content.asking import HELLO, Body, lost, read


def contents(*parts: Any, role: str = "user") -> Body:
    return {"contents": [{"role": role, "parts": list(parts)}]}


def configured(**config: Any) -> Body:
    return {**HELLO, "generationConfig": config}


def snake(value: Any) -> Any:
    """Spell every name in `snake_case`, but not those that are the producer's own."""
    if isinstance(value, list):
        return [snake(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    own = {"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "properties"}
    return {
        "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name): (
            inner if name in own else snake(inner)
        )
        for name, inner in value.items()
    }


FULL: Body = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
        {
            "role": "model",
            "parts": [{"functionCall": {"name": "f", "args": {"someKey": 1}}, "thoughtSignature": "c2ln"}],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"someKey": "x"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"someKey": 1}}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {
        "topP": 0.5,
        "topK": 3,
        "maxOutputTokens": 9,
        "stopSequences": ["x"],
        "candidateCount": 2,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"someKey": 1},
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 2,
        "seed": 4,
        "temperature": 1,
        "thinkingConfig": {"thinkingBudget": 100, "includeThoughts": True},
    },
    "serviceTier": "flex",
    "labels": {"someKey": "a"},
}


def test_both_spellings_mean_the_same() -> None:
    camel, spelled = (_PATHS.sub("", repr(read(body))) for body in (FULL, snake(FULL)))
    assert camel == spelled
    assert camel.count("someKey") == 7, "what the producer names is left alone"


_PATHS = re.compile(r", path='[^']*'|, pointers=\{[^}]*\}")


def test_pointers_spell_names_as_the_body_does() -> None:
    assert read(FULL).pointer("top_k") == "/generationConfig/topK"
    assert read(snake(FULL)).pointer("top_k") == "/generation_config/top_k"
    assert read(snake(FULL)).tools[0].path == "/tools/0/function_declarations/0"


def test_reading_changes_nothing() -> None:
    body = copy.deepcopy(FULL)
    read(body)
    assert body == FULL


def test_one_name_in_two_spellings_is_malformed() -> None:
    with pytest.raises(MalformedRequest) as refused:
        read(configured(topK=1, top_k=2))
    assert refused.value.pointer == "/generationConfig/top_k"


@pytest.mark.parametrize(
    ("config", "reasoning"),
    [
        ({"thinkingBudget": 0}, Reasoning(mode=Thinking.OFF)),
        ({"thinkingBudget": -1}, Reasoning(mode=Thinking.AUTO)),
        ({"thinkingBudget": "512"}, Reasoning(mode=Thinking.ON, budget_tokens=512)),
        ({"thinkingLevel": "Low", "includeThoughts": True}, Reasoning(mode=Thinking.ON, effort="low", summary=True)),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
        ({"includeThoughts": False}, Reasoning(mode=Thinking.AUTO, summary=False)),
        ({}, None),
    ],
)
def test_thinking(config: Body, reasoning: Reasoning | None) -> None:
    found = read(configured(thinkingConfig=config)).reasoning
    assert (found and (found.mode, found.effort, found.budget_tokens, found.summary)) == (
        reasoning and (reasoning.mode, reasoning.effort, reasoning.budget_tokens, reasoning.summary)
    )


def test_formats() -> None:
    kinds = [
        read(configured(**config)).format
        for config in (
            {"responseMimeType": "application/json"},
            {"responseMimeType": "application/json", "responseJsonSchema": {"$ref": "#"}},
            {"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}},
            {"responseMimeType": "text/plain"},
            {},
        )
    ]
    assert [found and (found.kind, found.schema) for found in kinds] == [
        (FormatKind.JSON_OBJECT, None),
        (FormatKind.JSON_SCHEMA, {"$ref": "#"}),
        (FormatKind.JSON_SCHEMA, {"type": "string"}),
        (FormatKind.TEXT, None),
        None,
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**HELLO, "cachedContent": "cachedContents/1"}, ("provider_state", "content", "/cachedContent")),
        ({**HELLO, "cached_content": "cachedContents/1"}, ("provider_state", "content", "/cached_content")),
        ({**HELLO, "safetySettings": [{}]}, ("unsupported_field", "hint", "/safetySettings")),
        ({**HELLO, "store": False}, ("unsupported_field", "hint", "/store")),
        ({**HELLO, "tomorrow": 1}, ("unknown_field", "sampling", "/tomorrow")),
        ({**HELLO, "serviceTier": "turbo"}, ("unsupported_field", "hint", "/serviceTier")),
        (configured(tomorrow=1), ("unknown_field", "sampling", "/generationConfig/tomorrow")),
        (
            configured(mediaResolution="MEDIA_RESOLUTION_LOW"),
            ("unsupported_field", "hint", "/generationConfig/mediaResolution"),
        ),
        (
            configured(responseModalities=["TEXT", "IMAGE"]),
            ("unsupported_field", "content", "/generationConfig/responseModalities"),
        ),
        (
            configured(responseMimeType="text/x.enum"),
            ("unsupported_field", "sampling", "/generationConfig/responseMimeType"),
        ),
        (configured(speechConfig={"a": 1}), ("unsupported_field", "sampling", "/generationConfig/speechConfig")),
        (
            contents({"text": "a", "videoMetadata": {"fps": 1}}),
            ("unsupported_field", "content", "/contents/0/parts/0/videoMetadata"),
        ),
        (
            contents({"text": "a", "partMetadata": {"a": 1}}),
            ("unsupported_field", "hint", "/contents/0/parts/0/partMetadata"),
        ),
        (contents({"text": "a", "tomorrow/~": 1}), ("unknown_field", "sampling", "/contents/0/parts/0/tomorrow~1~0")),
        (
            {**HELLO, "toolConfig": {"retrievalConfig": {"a": 1}}},
            ("unsupported_field", "sampling", "/toolConfig/retrievalConfig"),
        ),
        (
            {**HELLO, "tools": [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}]},
            ("unsupported_field", "sampling", "/tools/0/functionDeclarations/0/behavior"),
        ),
        (
            {**HELLO, "tools": [{"functionDeclarations": [{"name": "f", "response": {"type": "STRING"}}]}]},
            ("unsupported_field", "sampling", "/tools/0/functionDeclarations/0/response"),
        ),
    ],
)
def test_what_has_no_place_is_told(body: Body, expected: tuple[str, str, str]) -> None:
    assert lost(read(body)) == [expected]


@pytest.mark.parametrize("name", ["tools", "cachedContent", "safetySettings", "labels", "generationConfig", "store"])
def test_null_is_unset(name: str) -> None:
    assert read({**HELLO, name: None, "tomorrow": None}) == read(HELLO)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/contents"),
        ({"contents": []}, "/contents"),
        ({"contents": "Hello"}, "/contents"),
        ({"contents": ["Hello"]}, "/contents/0"),
        (contents({"text": "a"}, role="assistant"), "/contents/0/role"),
        (contents("a"), "/contents/0/parts/0"),
        (contents({}), "/contents/0/parts/0"),
        (contents({"text": 1}), "/contents/0/parts/0/text"),
        (contents({"text": "a", "functionCall": {"name": "f"}}), "/contents/0/parts/0"),
        (contents({"text": "a", "executableCode": {}}), "/contents/0/parts/0"),
        (contents({"functionCall": {}}), "/contents/0/parts/0/functionCall/name"),
        (contents({"functionCall": {"name": "f", "args": "{}"}}), "/contents/0/parts/0/functionCall/args"),
        (
            contents({"functionResponse": {"name": "f", "response": "x"}}),
            "/contents/0/parts/0/functionResponse/response",
        ),
        (contents({"inlineData": {"data": "AAAA"}}), "/contents/0/parts/0/inlineData/mimeType"),
        (contents({"fileData": {}}), "/contents/0/parts/0/fileData/fileUri"),
        ({**HELLO, "systemInstruction": "Be brief."}, "/systemInstruction"),
        (configured(temperature="warm"), "/generationConfig/temperature"),
        (configured(topK=1.5), "/generationConfig/topK"),
        (configured(candidateCount=-1), "/generationConfig/candidateCount"),
        (configured(stopSequences=[1]), "/generationConfig/stopSequences/0"),
        (configured(responseLogprobs="yes"), "/generationConfig/responseLogprobs"),
        (configured(responseMimeType="text/html"), "/generationConfig/responseMimeType"),
        (configured(responseSchema={}, responseJsonSchema={}), "/generationConfig/responseJsonSchema"),
        (
            configured(thinkingConfig={"thinkingBudget": 1, "thinkingLevel": "LOW"}),
            "/generationConfig/thinkingConfig/thinkingLevel",
        ),
        (configured(thinkingConfig={"thinkingBudget": -2}), "/generationConfig/thinkingConfig/thinkingBudget"),
        (configured(thinkingConfig={"thinkingLevel": "deep"}), "/generationConfig/thinkingConfig/thinkingLevel"),
        ({**HELLO, "tools": [{"functionDeclarations": [{}]}]}, "/tools/0/functionDeclarations/0/name"),
        (
            {
                **HELLO,
                "tools": [{"functionDeclarations": [{"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}],
            },
            "/tools/0/functionDeclarations/0/parametersJsonSchema",
        ),
        (
            {**HELLO, "toolConfig": {"functionCallingConfig": {"mode": "SOMETIMES"}}},
            "/toolConfig/functionCallingConfig/mode",
        ),
        ({**HELLO, "labels": {"a/b": 1}}, "/labels/a~1b"),
    ],
)
def test_what_is_no_request_is_refused_by_its_pointer(body: Body, pointer: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read(body)
    assert refused.value.pointer == pointer

"""Pieces of request bodies, drawn from a seeded generator: mostly what producers write, sometimes odd."""

import random
from collections.abc import Callable
from typing import Any

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


class Drawing:
    """Draws the pieces of request bodies; the same seed draws the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._results = 0

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

    def spoil(self, value: Any) -> None:
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

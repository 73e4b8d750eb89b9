"""Instances of JSON schemas that derive from a prompt, so that anyone can check that they belong to it."""

import math
import re
import struct
from functools import reduce
from hashlib import blake2b

from pydantic import JsonValue

from workers.provider_sim.schemas import NotFollowed, Schema, bounds, is_null, merged, type_of, without

_NOT_FOLLOWED = frozenset(
    {"not", "if", "contains", "dependentRequired", "dependentSchemas", "propertyNames", "unevaluatedProperties"}
)
_DEEPEST = 64
_ALL_PROPERTIES_TO = 6
"""Below this depth optional properties are left out, or a schema that contains itself would never end."""
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty")
_FORMATS = {
    "date": "2024-01-{:02d}",
    "date-time": "2024-01-{:02d}T12:00:00Z",
    "time": "12:00:{:02d}Z",
    "duration": "P{}D",
    "email": "user{}@example.com",
    "hostname": "host{}.example.com",
    "ipv4": "192.0.2.{}",
    "ipv6": "2001:db8::{}",
    "uri": "https://example.com/{}",
    "uuid": "00000000-0000-4000-8000-0000000000{:02d}",
}
_CANDIDATES = ("A", "a", "0", "AA", "aa", "ABC", "abc", "abcd", "42", "123", "1234", "12345", "a1", "A1", "AB-12", "+1")


def instance(schema: JsonValue, *, digest: bytes, proof: str) -> JsonValue:
    """Return a value that is valid under `schema`: the same for the same digest, with `proof` as its first free string.

    Understands JSON Schema and the OpenAPI subset of Gemini (upper-case types, `nullable`).
    Raises `NotFollowed` rather than returning a value that is not valid.
    """
    return _Writer(schema, digest, proof).value(schema, "", 0)


class _Writer:
    """Writes one instance; remembers whether the proof has found its place."""

    def __init__(self, root: JsonValue, digest: bytes, proof: str) -> None:
        self._root = root
        self._digest = digest
        self._proof: str | None = proof

    def value(self, schema: JsonValue, path: str, depth: int) -> JsonValue:
        plain = self._resolved(schema)
        if "const" in plain:
            return plain["const"]
        if isinstance(choices := plain.get("enum"), list) and choices:
            return choices[self._number(path) % len(choices)]
        kind = type_of(plain)
        if kind not in {"object", "array"}:
            return self._scalar(kind, plain, path)
        if depth > _DEEPEST:
            raise NotFollowed("the schema contains itself without end")
        return self._object(plain, path, depth) if kind == "object" else self._array(plain, path, depth)

    def _scalar(self, kind: str, schema: Schema, path: str) -> JsonValue:
        match kind:
            case "string":
                return self._string(schema, path)
            case "integer":
                return self._integer(schema, path)
            case "number":
                return self._fraction(schema, path)
            case "boolean":
                return self._number(path) % 2 == 0
            case "null":
                return None
        raise NotFollowed(f"there is no type {kind}")

    def _resolved(self, schema: JsonValue) -> Schema:
        """Return the one schema that references, alternatives and parts come to."""
        for _ in range(_DEEPEST):
            if schema is True:
                return {}
            if not isinstance(schema, dict):
                raise NotFollowed("a schema must be an object")
            if wrong := _NOT_FOLLOWED & schema.keys():
                raise NotFollowed(f"`{min(wrong)}` is not simulated")
            if "$ref" in schema:
                schema = merged(self._target(schema["$ref"]), without(schema, "$ref"))
            elif isinstance(parts := schema.get("allOf"), list):
                whole: JsonValue = without(schema, "allOf")
                schema = reduce(merged, parts, whole)
            elif name := next((name for name in ("anyOf", "oneOf") if schema.get(name)), None):
                options = schema[name]
                listed = options if isinstance(options, list) else [options]
                chosen = next((option for option in listed if not is_null(option)), listed[0])
                schema = merged(without(schema, name), chosen)
            else:
                return schema
        raise NotFollowed("the schema contains itself without end")

    def _object(self, schema: Schema, path: str, depth: int) -> JsonValue:
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {}
        listed = schema.get("required")
        required = [str(name) for name in listed] if isinstance(listed, list) else []
        names = [name for name in known if depth < _ALL_PROPERTIES_TO or name in required]
        more = schema.get("additionalProperties")
        extra = more if isinstance(more, dict) else True
        names += [name for name in required if name not in known]
        least = schema.get("minProperties")
        if isinstance(least, int) and len(names) < least:
            if more is False:
                raise NotFollowed("`minProperties` is larger than the number of properties")
            names += [f"key{index}" for index in range(least - len(names))]
        return {name: self.value(known.get(name, extra), f"{path}/{name}", depth + 1) for name in names}

    def _array(self, schema: Schema, path: str, depth: int) -> JsonValue:
        first = schema.get("prefixItems")
        places = list(first) if isinstance(first, list) else []
        least, most = schema.get("minItems"), schema.get("maxItems")
        size = max(1, len(places), least if isinstance(least, int) else 0)
        if isinstance(most, int):
            size = min(size, most)
        items = schema.get("items", True)
        if items is False:
            size = min(size, len(places))
        elif depth >= _DEEPEST // 2 and not least:
            size = 0
        places += [items] * (size - len(places))
        made = [self.value(place, f"{path}/{index}", depth + 1) for index, place in enumerate(places[:size])]
        if schema.get("uniqueItems") and any(one in made[:index] for index, one in enumerate(made)):
            raise NotFollowed("`uniqueItems` of equal items is not simulated")
        return made

    def _string(self, schema: Schema, path: str) -> str:
        least, most = schema.get("minLength"), schema.get("maxLength")
        shortest = least if isinstance(least, int) else 0
        longest = most if isinstance(most, int) else max(shortest, 1_000_000)
        if shortest > longest:
            raise NotFollowed("`minLength` is larger than `maxLength`")
        form = _FORMATS.get(str(schema.get("format")))
        if form is not None:
            return form.format(1 + self._number(path) % 28)
        pattern = schema.get("pattern")
        word = _WORDS[self._number(path) % len(_WORDS)]
        if isinstance(pattern, str):
            return self._matching(pattern, word, shortest, longest)
        if self._proof is not None and len(self._proof) <= longest:
            word, self._proof = self._proof, None
        return word[:longest].ljust(shortest, ".")

    def _matching(self, pattern: str, word: str, shortest: int, longest: int) -> str:
        try:
            regex = re.compile(pattern)
        except re.error:
            raise NotFollowed("a `pattern` is no regular expression") from None
        for text in (self._proof, word, word.title(), *_CANDIDATES):
            if text is not None and shortest <= len(text) <= longest and regex.search(text):
                if text is self._proof:
                    self._proof = None
                return text
        raise NotFollowed("this `pattern` is not simulated")

    def _integer(self, schema: Schema, path: str) -> int:
        step = schema.get("multipleOf")
        by = int(step) if isinstance(step, int | float) and not isinstance(step, bool) and step == int(step) else 1
        lowest, highest = bounds(schema, smallest_step=1)
        low = 0 if lowest is None else math.ceil(lowest)
        if highest is not None:
            high = math.floor(highest)
            low = min(low, high - 9) if lowest is None else low
        else:
            high = low + 9 * by
        first, last = -(-low // by), high // by
        if first > last:
            raise NotFollowed("no integer is within the bounds")
        return by * (first + self._number(path) % (min(last, first + 9_999) - first + 1))

    def _fraction(self, schema: Schema, path: str) -> JsonValue:
        if "multipleOf" in schema:
            return self._integer(schema, path)
        lowest, highest = bounds(schema, smallest_step=0)
        if lowest is None and highest is None:
            return (self._number(path) % 1000) / 8
        low = highest - 1 if lowest is None and highest is not None else lowest or 0.0
        high = low + 1 if highest is None else highest
        if low > high:
            raise NotFollowed("no number is within the bounds")
        # Strictly inside, so that bounds that are excluded are kept too.
        return low + (high - low) * (1 + self._number(path) % 7) / 8

    def _target(self, reference: JsonValue) -> JsonValue:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise NotFollowed("only a `$ref` within the schema is simulated")
        place = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(place, dict) or name not in place:
                raise NotFollowed("a `$ref` leads nowhere")
            place = place[name]
        return place

    def _number(self, path: str) -> int:
        digest = blake2b(path.encode("utf-8", "surrogatepass"), digest_size=4, key=self._digest).digest()
        number: int = struct.unpack("<I", digest)[0]
        return number

"""Masks the one key that a worker knows, whatever its shape, in what a provider sends back."""

import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from broker.redaction import MASK, Secret
from workers.endings import Responded

SHORTEST = 6
"""Shorter values are common words: masking them would spoil texts and protect nothing."""


class Masking:
    """Replaces a key, also as it is spelled inside JSON and in a URL; without a key nothing is changed."""

    def __init__(self, secret: Secret | None) -> None:
        key = secret.reveal() if secret is not None else ""
        spellings = _spellings(key) if len(key) >= SHORTEST else set()
        # The longer first: a spelling may contain another
        self._texts = sorted(spellings, key=len, reverse=True)
        self._bytes = [text.encode() for text in self._texts]

    def text(self, text: str) -> str:
        """Mask the key in a text."""
        for spelling in self._texts:
            text = text.replace(spelling, MASK)
        return text

    def response(self, response: Responded) -> Responded:
        """Mask the key in the body and the header values."""
        return replace(response, headers=self._headers(response.headers), body=self._body(response.body))

    def _body(self, body: bytes) -> bytes:
        for spelling in self._bytes:
            body = body.replace(spelling, MASK.encode())
        return body

    def _headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        if not any(spelling in value for spelling in self._texts for value in headers.values()):
            return headers
        return {name.lower(): self.text(headers[name]) for name in headers}


def _spellings(key: str) -> set[str]:
    escaped = json.dumps(key)[1:-1]
    angled = escaped
    for mark in "<>&'":  # as encoders write them whose JSON may stand in a page
        angled = angled.replace(mark, f"\\u{ord(mark):04x}")
    percent = [quote(key, safe=safe) for safe in ("", "/")]
    return {key, escaped, angled, escaped.replace("/", "\\/"), *percent, *map(_with_small_digits, percent)}


def _with_small_digits(encoded: str) -> str:
    first, *rest = encoded.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])

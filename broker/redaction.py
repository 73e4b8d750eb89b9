"""Keeps keys out of everything that is kept or shown: text is masked by shape, secrets refuse to show themselves.

Providers echo part of the key in their error bodies, so every text that comes from outside passes `redact`
before it reaches a log, a row, a page or a terminal.
"""

import re
from typing import NoReturn

MASK = "***"

# Characters that never show, and could split a key so that its shape is not seen.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
# Controls move cursors and forge log lines; lone surrogates cannot be stored.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

# A masked value never contains a quote, a backslash, a bracket or white space: redacted JSON stays JSON.
_VALUE = r"[^\s\"'\\,;&<>{}\[\]()]"
_PREFIXES = r"sk|pk|rk|gsk|hf|xai|pplx|nvapi|csk|fw|tgp|r8|ghp|gho|github_pat|glpat|xox[abprs]|sess|ya29"
_SCHEME = re.compile(rf"(?i)\b(bearer|basic)((?:\s|%20|\+)+){_VALUE}+")
_PREFIXED = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:{_PREFIXES})[-_.](?=[^\s]{{0,40}}[0-9*…]|[^\s]{{16}}){_VALUE}{{6,}}|(?:AIza|AKIA){_VALUE}{{8,}})"
)
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}")
_USER_INFO = re.compile(r"(?<=://)[^\s/@\"'\\]{1,512}@")
# A word that announces a key, at most a few words and marks, then something that looks random.
_ANNOUNCED = re.compile(
    r"(?i)(\b(?:[a-z0-9_-]{0,32}[-_ ]?key|authorization|auth|token|secret|password|passwd|credentials?|signature)"
    r"(?:\s{1,3}(?:provided|given|is|was|of)){0,2}[\s\"'\\:=(`]{1,8})"
    rf"(?=[^\s\"'\\]{{0,60}}[0-9*…]){_VALUE}{{8,}}"
)


def redact(text: str) -> str:
    """Mask everything that looks like a key, and drop control characters; never raises."""
    text = _CONTROL.sub(" ", _INVISIBLE.sub("", text))
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _PREFIXED.sub(MASK, text)
    text = _TOKEN.sub(MASK, text)
    text = _USER_INFO.sub(f"{MASK}@", text)
    return _ANNOUNCED.sub(rf"\1{MASK}", text)


def excerpt(text: str, limit: int) -> str:
    """Redact, then cut to `limit` characters: masked before it is cut, so that no key is halved."""
    # Header bytes that are no UTF-8 arrive as half surrogates, which can be neither stored nor sent on
    shown = redact(text[: 2 * limit + 1024].encode("utf-8", "replace").decode()).strip()
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def redacted_body(body: bytes, limit: int = 16_384) -> bytes:
    """Make an error body fit to be kept: redacted, at most `limit` characters; JSON that fits stays JSON."""
    return excerpt(body[: 4 * limit + 4096].decode(errors="replace"), limit).encode()


class Secret:
    """Holds a key; shows itself as a mask, and refuses to be pickled or copied out."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the key itself, to be put into a request header and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not serialised")

"""Chance that repeats: drawn from the seed, the request's identity and which try of it this is."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import orjson
from pydantic import JsonValue

_UNIT = 2.0**-53


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What one try was dealt."""

    fault: float
    """Uniform in [0, 1)."""
    latency: float
    """Standard normal."""
    output: float
    """Standard normal."""


NEUTRAL = Chance(fault=1.0, latency=0.0, output=0.0)
"""For a provider in which nothing is random."""


def identity_of(path: str, body: Mapping[str, JsonValue]) -> int:
    """Return a number that all tries of one request share, on whatever account.

    The model is left out, because accounts may name the same model differently, and so is the order of keys.
    """
    rest = {name: value for name, value in body.items() if name != "model"}
    digest = blake2b(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS), digest_size=8, person=path.encode()[-16:])
    return int.from_bytes(digest.digest(), "big")


def draw(seed: int, identity: int, nth: int) -> Chance:
    """Return the chance of the nth try, counted from 0; the same arguments give the same."""
    digest = blake2b(f"{seed}/{identity}/{nth}".encode(), digest_size=40).digest()
    fault, *pairs = ((word >> 11) * _UNIT for word in struct.unpack(">5Q", digest))
    return Chance(fault=fault, latency=_normal(pairs[0], pairs[1]), output=_normal(pairs[2], pairs[3]))


def lognormal(mean: float, sigma: float, normal: float) -> float:
    """Return a log-normal value with that mean, from a standard normal one."""
    return mean if sigma == 0 else mean * math.exp(sigma * normal - sigma * sigma / 2)


def _normal(first: float, second: float) -> float:
    # Box-Muller; 1 - u because the logarithm of 0 does not exist.
    return math.sqrt(-2.0 * math.log(1.0 - first)) * math.cos(2.0 * math.pi * second)

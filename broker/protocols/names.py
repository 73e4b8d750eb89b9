"""Maps names and ids that a target does not take to some that it does, and back: injective, and the same every time."""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b

_DIGEST_BYTES = 5
_LONGEST_KEPT = 40
_ILLEGAL = re.compile(r"[^A-Za-z0-9_]")


def mapped(names: Iterable[str], legal: re.Pattern[str]) -> Mapping[str, str]:
    """What each name is called at the target; empty where all are legal as they are.

    A new name is made of what is legal in the old one and a digest of it, so it depends on nothing else, and two
    names never meet: neither each other, nor one that is legal as it is.
    """
    strange = dict.fromkeys(name for name in names if legal.fullmatch(name) is None)
    if not strange:
        return {}
    taken = {name for name in names if name not in strange}
    result: dict[str, str] = {}
    for name in strange:
        result[name] = another(name, taken)
        taken.add(result[name])
    return result


def another(name: str, taken: set[str]) -> str:
    """A legal name in place of one that is not, or that is taken: none of `taken`, which stays as it is."""
    kept = _ILLEGAL.sub("_", name)[:_LONGEST_KEPT]
    start = kept if kept[:1].isalpha() else f"n{kept}"
    for number in range(len(taken) + 1):
        digest = blake2b(f"{number}\0{name}".encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
        candidate = f"{start}_{digest}"
        if candidate not in taken:
            break
    return candidate

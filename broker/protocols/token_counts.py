"""Token counts as providers report them, with what makes no sense left out."""

# No call comes near it: a larger number is a fault of the provider, and would overflow sums.
_MOST_TOKENS = 1_000_000_000


def tokens(value: object) -> int | None:
    """A count of tokens; `None` for anything else."""
    # `type` and not `isinstance`: true is no number of tokens.
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def part_of(details: object, name: str, whole: int, absent: int | None) -> int | None:
    """One part of a bucket; a part larger than the whole says that it is not a part: unknown.

    `absent`: what it means when it is not there.
    """
    value = details.get(name) if isinstance(details, dict) else None
    if value is None:
        return absent
    part = tokens(value)
    return part if part is not None and part <= whole else None

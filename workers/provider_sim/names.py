"""Sets of names that are written as one text, because they are long and say nothing else."""


def names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())

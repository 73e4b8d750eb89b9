"""Names and ids as providers give them."""


def printable(value: object) -> str | None:
    """A text that can be shown and stored; what cannot (half a surrogate pair, say) names nothing."""
    return value if isinstance(value, str) and value.isprintable() else None

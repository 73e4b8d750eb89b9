"""How a vendor's batches are written: their rows on the way in, their result lines on the way out."""

from enum import StrEnum

from broker.domain.dialect import Dialect


class BatchForm(StrEnum):
    """Whose batch API the rows of a batch are written for, and in whose form its results come back.

    A batch has one form; it is kept as the batch's dialect.
    """

    OPENAI = "openai"
    """`{custom_id, method, url, body}`, and `{id, custom_id, response, error}`."""
    ANTHROPIC = "anthropic"
    """`{custom_id, params}`, and `{custom_id, result}`."""
    GEMINI = "gemini"
    """`{key, request}`, and `{key, response}` or `{key, error}`."""


_FORMS = {
    Dialect.OPENAI_CHAT: BatchForm.OPENAI,
    Dialect.OPENAI_RESPONSES: BatchForm.OPENAI,
    Dialect.OPENAI_EMBEDDINGS: BatchForm.OPENAI,
    Dialect.ANTHROPIC_MESSAGES: BatchForm.ANTHROPIC,
    Dialect.GEMINI_GENERATE_CONTENT: BatchForm.GEMINI,
}


def form_of(dialect: Dialect) -> BatchForm:
    """The form of batches whose requests are in this dialect."""
    return _FORMS[dialect]

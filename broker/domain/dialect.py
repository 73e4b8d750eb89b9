"""The languages of requests and answers: what producers write, and what providers speak."""

from enum import StrEnum


class Dialect(StrEnum):
    """One vendor's API for one purpose; each has a codec in `broker.protocols`."""

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    OPENAI_EMBEDDINGS = "openai-embeddings"
    ANTHROPIC_MESSAGES = "anthropic-messages"
    GEMINI_GENERATE_CONTENT = "gemini-generateContent"
    """Also `embedContent` and `batchEmbedContents`: told apart by the shape of the body."""

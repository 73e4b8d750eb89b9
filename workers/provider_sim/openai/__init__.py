"""The protocols of OpenAI: chat completions, responses and embeddings."""

"""The protocol of Gemini: content and embeddings, as Google's generative language API and Vertex serve them."""

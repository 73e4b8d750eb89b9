"""Log probabilities: Gemini's, and those of OpenAI's chat dialect, which is the canonical form."""

from collections.abc import Iterator, Mapping


def read_logprobs(result: object) -> dict[str, object] | None:
    """The tokens of a candidate; `None` where there are none, or none that can be read."""
    if not isinstance(result, Mapping):
        return None
    chosen = result.get("chosenCandidates")
    if not isinstance(chosen, list):
        return None
    tops = result.get("topCandidates")
    content = []
    for index, candidate in enumerate(chosen):
        token = _token(candidate)
        if token is None:
            return None
        top = tops[index] if isinstance(tops, list) and index < len(tops) else None
        candidates = top.get("candidates") if isinstance(top, Mapping) else None
        likely = map(_token, candidates) if isinstance(candidates, list) else ()
        token["top_logprobs"] = [one for one in likely if one is not None]
        content.append(token)
    return {"content": content, "refusal": None} if content else None


def _token(candidate: object) -> dict[str, object] | None:
    match candidate:
        case {"token": str(token), "logProbability": int() | float() as probability}:
            return {"token": token, "logprob": probability, "bytes": list(token.encode("utf-8", "replace"))}
        case {"token": str(token)}:  # a zero is not written
            return {"token": token, "logprob": 0.0, "bytes": list(token.encode("utf-8", "replace"))}
        case _:
            return None


def write_logprobs(logprobs: object) -> dict[str, object] | None:
    """The inverse of `read_logprobs`."""
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list) or not content:
        return None
    return {
        "chosenCandidates": list(_candidates(content)),
        "topCandidates": [
            {"candidates": list(_candidates(token.get("top_logprobs")))}
            for token in content
            if isinstance(token, Mapping)
        ],
    }


def _candidates(tokens: object) -> Iterator[dict[str, object]]:
    for token in tokens if isinstance(tokens, list) else ():
        match token:
            case {"token": str(text), "logprob": int() | float() as probability}:
                yield {"token": text, "logProbability": probability}

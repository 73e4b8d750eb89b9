"""What is assumed of a Claude model that nobody knows."""

from broker.domain.caps import Caps, ThinkingForm

CAPS = Caps(
    sampling=False,
    temperature_max=1.0,
    temperature_with_top_p=False,
    penalties=False,
    seed=False,
    logprobs=False,
    choices=False,
    thinking=ThinkingForm.ADAPTIVE,
    efforts=("low", "medium", "high", "xhigh", "max"),
    mid_system=False,
    prefill=False,
    audio=False,
    cache_marks=True,
    max_output_tokens=32_000,
)
"""As models from Opus 4.7 on are, and of what differs among them the less; any of them generates 32,000 tokens."""

"""What a limit group was charged in the last minute, in one bin per second."""

WINDOW_S = 60


class Meter:
    """Sums of requests, input tokens and output tokens over the last 60 seconds (the running one included)."""

    __slots__ = ("_bins",)

    def __init__(self) -> None:
        self._bins: list[tuple[int, float, float, float]] = [(-WINDOW_S, 0.0, 0.0, 0.0)] * WINDOW_S

    def add(self, now: float, requests: float, input_tokens: float, output_tokens: float) -> None:
        """Count a charge, or a refund where negative, in the second of `now`."""
        second = int(now)
        index = second % WINDOW_S
        stamped, old_requests, old_input, old_output = self._bins[index]
        if stamped != second:
            old_requests = old_input = old_output = 0.0
        self._bins[index] = (second, old_requests + requests, old_input + input_tokens, old_output + output_tokens)

    def sums(self, now: float) -> tuple[float, float, float]:
        """Add up requests, input tokens and output tokens; refunds of older charges never make one negative."""
        second = int(now)
        live = [bin_ for bin_ in self._bins if 0 <= second - bin_[0] < WINDOW_S]
        return (
            max(0.0, sum(bin_[1] for bin_ in live)),
            max(0.0, sum(bin_[2] for bin_ in live)),
            max(0.0, sum(bin_[3] for bin_ in live)),
        )

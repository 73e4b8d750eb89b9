"""The server's clock as seen from here, so that start times decided there can be kept here."""


class ServerClock:
    """Estimates how far the server's clock is ahead of ours, in seconds, from the replies it stamps.

    A reply stamped `server` that was sent for at `asked` and came at `came` proves the offset to lie between
    `server - came` and `server - asked`. The quickest reply says it best, so its middle is kept; later replies only
    push the estimate into what they prove, which follows a drift, or a clock that was set, without trusting slow ones.
    """

    __slots__ = ("_offset", "_round_trip")

    def __init__(self) -> None:
        self._offset: float | None = None
        self._round_trip = 0.0

    def learn(self, *, asked: float, came: float, server: float) -> None:
        """Take in one reply; `asked` and `came` are on our monotonic clock."""
        least, most = server - came, server - asked
        if self._offset is None or came - asked <= self._round_trip:
            self._offset, self._round_trip = (least + most) / 2, came - asked
        elif not least <= self._offset <= most:
            self._offset = min(max(self._offset, least), most)

    @property
    def ahead(self) -> float:
        """What to add to a moment of ours to get the server's; 0 before the first reply."""
        return self._offset or 0.0

    def here(self, server: float) -> float:
        """Translate a moment of the server's clock into ours."""
        return server - self.ahead

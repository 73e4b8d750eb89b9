"""How long the transport waits for what: one value, so that tests can be quick."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds."""

    connect: float = 10.0
    """For one try to connect, greeting included."""
    publish: float = 10.0
    """For all turns of one `publish`, waiting for a connection included."""
    after_refusals: tuple[float, ...] = (0.05, 0.2, 0.5)
    """Before each further try of a message that the server has refused (nacked)."""
    ask: float = 5.0
    """For one question to the server: a declaration, a count, an ack that does not leave."""
    retry: float = 0.2
    """Before the second try to connect or to consume; doubled from try to try."""
    longest_retry: float = 5.0
    look: float = 1.0
    """Between two looks of a consumer at itself: whether it should hold more or less, and whether it is still alive."""
    silence: float = 5.0
    """A consumer with room that hears nothing for this long asks the server whether that is right."""
    made_again: float = 3.0
    """A consumer makes a deleted queue again only after this, so that the feeder, which looks at each queue every
    `empty_count`, sees that it is gone and feeds its turns again."""
    count: float = 0.2
    """A count of waiting turns is not asked for again within this."""
    empty_count: float = 2.0
    """The same for a queue that was empty, and got nothing from us since."""
    drain: float = 5.0
    """At the end, for turns in a worker's hand to be acked."""
    close: float = 2.0
    """For a connection or channel to be closed in good order; afterwards it is cut."""

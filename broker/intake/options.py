"""What is said of an input beside its content: by options of a command, or in the head of a message."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from broker.domain.dialect import Dialect
from broker.domain.loss import OnLoss
from broker.domain.route import USE
from broker.errors import CallerError
from broker.intake.forms.fields import MAX_CUSTOM_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """How an input is to be read, and what its batch is for."""

    dialect: Dialect | None = None
    """The language of its requests; `None`: the first row tells."""
    model: str | None = None
    """The model of rows that name none."""
    on_loss: OnLoss = OnLoss.FAIL
    use: str | None = None
    """What the answers are for: a licence that an account may have."""

    def check(self) -> None:
        """Raise `CallerError` for a name that cannot be one."""
        for option, given in (("--model", self.model), ("--use", self.use)):
            if given is None:
                continue
            if not given.strip() or not given.isprintable() or len(given) > MAX_CUSTOM_ID or USE in given:
                raise CallerError(f"{option}: that is no name; use visible characters")

    def identity(self, content: str) -> str:
        """What the input is known by: the digest of its content, and of what is said beside it, if anything.

        The same content under other options is another input.
        """
        said = "\0".join(f"{option} {value}" for option, value in self.said())
        return hashlib.sha256(f"{content}\0{said}".encode()).hexdigest() if said else content

    def said(self) -> Iterator[tuple[str, str]]:
        """The options of a command that say the same, and their values."""
        if self.dialect is not None:
            yield "--dialect", self.dialect
        if self.model is not None:
            yield "--model", self.model
        if self.on_loss is not OnLoss.FAIL:
            yield "--on-loss", self.on_loss
        if self.use is not None:
            yield "--use", self.use

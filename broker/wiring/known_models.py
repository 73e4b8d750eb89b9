"""What is known of an account's models, for those who speak to them."""

from collections.abc import Callable
from functools import cache

from broker.catalog.model_facts import caps_overrides
from broker.domain.account import Account
from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.protocols.registry import codec_of


def known_caps(account: Account) -> Callable[[str, Dialect], Caps]:
    """A function that tells what a model takes, by its logical name, in a dialect; it looks everything up once.

    It raises `KeyError` for a model that the account does not have.
    """

    @cache
    def caps(logical_model: str, dialect: Dialect) -> Caps:
        return codec_of(dialect).caps.amended(caps_overrides(account, logical_model, dialect))

    return caps

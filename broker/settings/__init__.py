"""The configuration a user writes: `penstock.toml`, read, checked and resolved against the catalog."""

from broker.settings.load import BrokerSettings, Settings, load, parse
from broker.settings.secrets_check import check_secrets

__all__ = ["BrokerSettings", "Settings", "check_secrets", "load", "parse"]

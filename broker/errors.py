"""Every error this project raises, by who must act.

BrokerError
├── CallerError            the producer must change the input
│   └── IntakeRefused      rows that do not validate, with their line numbers
├── ConfigError            the operator must change the configuration
├── AccountError           an account cannot be used as it is
├── TransportUnavailable   the queue did not take the turns: publish again
├── StoreError             the database cannot be used as it is
│   ├── DatabaseBusy       another process holds it
│   ├── StoreUnavailable   it did not answer: send the same again
│   └── StoreRefused       it will never take these values
└── IllegalMove            us: a state move that is not in its table
"""


class BrokerError(Exception):
    """Root of all our errors; `code` is stable, the message is for people."""

    code = "error"
    retryable = False


class CallerError(BrokerError):
    """The input must change."""

    code = "invalid_input"


class ConfigError(BrokerError):
    """The configuration must change; the message names file, line, key and remedy."""

    code = "invalid_configuration"


class AccountError(BrokerError):
    """An account cannot be used as it is."""

    code = "account_unusable"


class StoreError(BrokerError):
    """The database cannot be used as it is."""

    code = "database_unusable"


class DatabaseBusy(StoreError):
    """Another process holds the database."""

    code = "database_busy"


class IllegalMove(BrokerError):
    """A state move that is not in its table: a defect of ours."""

    code = "illegal_move"

    def __init__(self, subject: str, current: str, to: str) -> None:
        super().__init__(f"{subject}: no move from {current} to {to}")


class StoreUnavailable(StoreError):
    """The database did not take the operation, or its answer was lost; the same operation may be sent again."""

    code = "database_unavailable"
    retryable = True


class StoreRefused(StoreError):
    """The database will never take these values: sending them again changes nothing."""

    code = "database_refused"

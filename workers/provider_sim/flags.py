"""The short notations of the command line: `--key NAME=600,90000,8`, `--fault hang=0.01`."""

from collections.abc import Sequence

from broker.errors import ConfigError

_KEY_LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")
Tables = dict[str, object]


def key(text: str) -> Tables:
    """`NAME[=RPM[,TPM[,CONCURRENCY]]]`; an empty limit is none. Raises `ConfigError`."""
    name, has_limits, limits = text.partition("=")
    values = limits.split(",") if has_limits else []
    if not name or len(values) > len(_KEY_LIMITS):
        raise ConfigError(f"--key {text}: write NAME[=RPM[,TPM[,CONCURRENCY]]]")
    table: Tables = {"name": name}
    for limit, value in zip(_KEY_LIMITS, values, strict=False):
        if value.strip():
            table[limit] = _number(value, f"--key {text}")
    return table


def fault(text: str) -> tuple[str, float]:
    """`KIND=PROBABILITY`. Raises `ConfigError`."""
    kind, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--fault {text}: write KIND=PROBABILITY")
    return kind, _number(value, f"--fault {text}")


def merged(
    tables: Tables,
    *,
    keys: Sequence[str] = (),
    faults: Sequence[str] = (),
    fault_caps: Sequence[str] = (),
    window_s: float | None = None,
    top: Tables | None = None,
    latency: Tables | None = None,
    output: Tables | None = None,
) -> Tables:
    """Return the tables of a file with the flags laid over them; a flag that is `None` says nothing.

    Flags name keys anew: given one `--key`, the file's keys are gone. Raises `ConfigError`.
    """
    result = dict(tables) | _said(top)
    for name, table in (("latency", latency), ("output", output)):
        if _said(table):
            result[name] = _table(result, name) | _said(table)
    if faults:
        _put(result, "probability", dict(fault(text) for text in faults))
    if fault_caps:
        _put(result, "at_most_per_request", dict(fault(text) for text in fault_caps))
    if keys:
        result["keys"] = [key(text) for text in keys]
    if window_s is not None:
        listed = result.get("keys", [{"name": "sim"}])
        if isinstance(listed, list):
            result["keys"] = [entry | {"window_s": window_s} if isinstance(entry, dict) else entry for entry in listed]
    return result


def _put(tables: Tables, name: str, values: Tables | dict[str, float]) -> None:
    faults = _table(tables, "faults")
    tables["faults"] = faults | {name: _table(faults, name) | values}


def _table(tables: Tables, name: str) -> Tables:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{name}: must be a table")
    return table


def _said(table: Tables | None) -> Tables:
    return {name: value for name, value in (table or {}).items() if value is not None}


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{where}: {text!r} is no number") from error

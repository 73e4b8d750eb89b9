"""Where a process tells how it stands."""

from dataclasses import dataclass

from broker.errors import ConfigError

HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host (a name, or an address) and a port; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"


def address(text: str) -> Address:
    """Read `HOST:PORT`; an IPv6 host stands in brackets. Raises `ConfigError`."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host:
        raise _refused(text, "it names no host")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _refused(text, "an IPv6 address stands in brackets")
    if not host or any(character.isspace() or character in "[]/@" for character in host):
        raise _refused(text, "that is no host")
    if not (port.isascii() and port.isdigit()) or int(port) > HIGHEST_PORT:
        raise _refused(text, f"the port must be a number from 0 (any free one) to {HIGHEST_PORT}")
    return Address(host=host, port=int(port))


def _refused(text: str, why: str) -> ConfigError:
    return ConfigError(
        f"--health {text}: {why}; write HOST:PORT, like 127.0.0.1:9100, or 0.0.0.0:9100 for every network"
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

import pytest

from broker.errors import ConfigError
from broker.health.address import Address, address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9100", "127.0.0.1", 9100),
        ("localhost:0", "localhost", 0),
        ("[::1]:65535", "::1", 65535),
        (" 0.0.0.0:80 ", "0.0.0.0", 80),  # noqa: S104 - what an operator may say
    ],
)
def test_host_and_port_are_read(text: str, host: str, port: int) -> None:
    assert address(text) == Address(host=host, port=port)
    assert str(address(text)) == text.strip()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9100", "it names no host"),
        (":9100", "it names no host"),
        ("host", "it names no host"),
        ("host:", "the port must be a number"),
        ("host:http", "the port must be a number"),
        ("host:65536", "the port must be a number"),
        ("host:-1", "the port must be a number"),
        ("::1:9100", "an IPv6 address stands in brackets"),
        ("[]:9100", "that is no host"),
        ("http://host:9100", "an IPv6 address stands in brackets"),
        ("a b:9100", "that is no host"),
    ],
)
def test_what_is_wrong_is_told(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        address(text)
    assert str(refused.value).startswith(f"--health {text}: {why}")
    assert "127.0.0.1:9100" in str(refused.value)

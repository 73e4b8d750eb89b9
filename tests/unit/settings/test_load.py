from decimal import Decimal
from pathlib import Path

import pytest

from broker.domain.account import Autoscale, ChargeMode, Limits, Prices
from broker.domain.dialect import Dialect
from broker.domain.outcome import RetryPolicy
from broker.errors import ConfigError
from broker.settings import Settings, load, parse

FILE = Path("penstock.toml")
OPENAI = '[[accounts]]\nname = "a"\nprovider = "openai"\napi_key = "env:KEY"\nmodels = ["gpt-5-mini"]\n'
VLLM = '[[accounts]]\nname = "v"\nprovider = "vllm"\nmodels = ["m"]\n'


def settings(text: str) -> Settings:
    return parse(text, FILE)


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse(text, FILE)
    return str(error.value).splitlines()


def test_an_account_takes_what_the_catalog_knows() -> None:
    (account,) = settings(OPENAI).accounts
    assert account.base_url == "https://api.openai.com/v1"
    assert account.protocols == (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.OPENAI_EMBEDDINGS)
    assert account.price_provider == "openai"
    assert account.charge_mode is ChargeMode.ACTUAL
    assert account.secret == "env:KEY"
    assert account.models == {"gpt-5-mini": "gpt-5-mini"}
    assert account.group == "a"


def test_every_account_key_is_taken_over() -> None:
    text = """
[[accounts]]
name = "azure-eu-1"
provider = "azure"
api_key = "file:/run/secrets/azure"
base_url = "https://r.openai.azure.com/openai/v1/"
protocol = "openai"
models = { "gpt-5-mini" = "deployment" }
limits = { requests_per_minute = 500, tokens_per_minute = 200_000.5, input_tokens_per_minute = 1, \
output_tokens_per_minute = 2, requests_per_day = 3, tokens_per_day = 4, concurrency = 64 }
limit_group = "org"
charge_mode = "actual"
timeout_seconds = 30
headers = { "X-Team" = "evals" }
prices = { "gpt-5-mini" = { input = 0.1, output = "0.3", cache_read = 0 } }
licence = "non-commercial"
workers = 2
autoscale = { min = 2, max = 6 }
worker_concurrency = 8
"""
    (account,) = settings(text).accounts
    assert account.base_url == "https://r.openai.azure.com/openai/v1"
    assert account.auth_header == "api-key"
    assert account.auth_scheme == ""
    assert account.secret == "file:/run/secrets/azure"
    assert account.models == {"gpt-5-mini": "deployment"}
    assert account.limits == Limits(
        requests_per_minute=500,
        tokens_per_minute=200_000.5,
        input_tokens_per_minute=1,
        output_tokens_per_minute=2,
        requests_per_day=3,
        tokens_per_day=4,
        concurrency=64,
    )
    assert account.group == "org"
    assert account.charge_mode is ChargeMode.ACTUAL
    assert account.timeout_seconds == 30
    assert account.headers == {"X-Team": "evals"}
    assert account.prices == {"gpt-5-mini": Prices(input=Decimal("0.1"), output=Decimal("0.3"), cache_read=Decimal(0))}
    assert (account.licence, account.workers, account.worker_concurrency) == ("non-commercial", 2, 8)
    assert account.autoscale == Autoscale(min=2, max=6)


def test_retries_become_the_policy() -> None:
    given = settings(OPENAI + "[run]\nretries = { transient = 0, unknown = 1, malformed = 3 }\n").retry_policy
    assert (given.transient_tries, given.unknown_retries, given.malformed_retries) == (1, 1, 3)


def test_without_a_run_section_the_policy_is_the_default() -> None:
    assert settings(OPENAI).retry_policy == RetryPolicy()


def test_a_relative_key_file_starts_at_the_folder_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text(OPENAI.replace("env:KEY", "file:keys/a"))
    assert load(file).accounts[0].secret == f"file:{tmp_path}/keys/a"


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text(OPENAI, encoding="utf-8-sig")
    assert load(file).accounts[0].name == "a"


def test_limits_of_a_group_reach_all_its_accounts() -> None:
    text = VLLM + 'limit_group = "g"\nlimits = { concurrency = 4 }\n' + OPENAI + 'limit_group = "g"\n'
    assert [account.limits.concurrency for account in settings(text).accounts] == [4, 4]


def test_the_same_limits_may_be_declared_by_all_of_a_group() -> None:
    shared = 'limit_group = "g"\nlimits = { concurrency = 4 }\n'
    assert len(settings(VLLM + shared + OPENAI + shared).accounts) == 2


def test_key_origins_name_the_line_of_each_key() -> None:
    assert settings(VLLM + OPENAI).key_origins == {"v": "penstock.toml:1", "a": "penstock.toml:8"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "penstock.toml:1: accounts: no accounts; add an [[accounts]] table"),
        ("accounts = []", "penstock.toml:1: accounts: no accounts"),
        ('\n[accounts]\nname = "a"', "penstock.toml:2: accounts: must be written as [[accounts]]"),
        (OPENAI + "name = 3\n", "penstock.toml:6: not valid TOML"),
        (OPENAI + "workers = two\n", "penstock.toml:6: not valid TOML"),
        (OPENAI + 'licence = "x', "penstock.toml:6: not valid TOML"),
        (OPENAI + "limit = {}\n", "penstock.toml:6: accounts[0].limit: unknown key; did you mean `limits`?"),
        (OPENAI + "concurrency = 1\n", "accounts[0].concurrency: unknown key; write it as `limits.concurrency`"),
        (OPENAI + "zzz = 1\n", "accounts[0].zzz: unknown key; known are api_key, autoscale, base_url,"),
        (OPENAI + "[accounts.limits]\nrequest_per_minute = 1\n", "penstock.toml:7: accounts[0].limits.request_per_m"),
        (OPENAI + "[run.retries]\nunknwon = 1\n", "penstock.toml:7: run.retries.unknwon: unknown key; did you mean"),
        (OPENAI + "[log]\n", "penstock.toml:6: log: unknown key; known are accounts, broker, providers, run"),
        (OPENAI + "limits = { concurrency = true }\n", "accounts[0].limits.concurrency: must be a whole number"),
        (OPENAI + "limits = { concurrency = 1.5 }\n", "accounts[0].limits.concurrency: must be a whole number"),
        (OPENAI + "limits = { tokens_per_day = 0 }\n", "limits.tokens_per_day: must be greater than 0"),
        (OPENAI + "limits = { tokens_per_day = inf }\n", "limits.tokens_per_day: must be a finite number"),
        (OPENAI + 'limits = { tokens_per_day = "9" }\n', "limits.tokens_per_day: must be a number, without quotes"),
        (OPENAI + "limits = 5\n", "accounts[0].limits: must be a table"),
        (OPENAI + "timeout_seconds = -1\n", "accounts[0].timeout_seconds: must be greater than 0"),
        (OPENAI + "workers = 0\n", "accounts[0].workers: must be greater than 0"),
        (OPENAI + "autoscale = { min = 1 }\n", "accounts[0].autoscale.max: is missing"),
        (OPENAI + "autoscale = { min = 3, max = 2 }\n", "accounts[0].autoscale.max: must not be below autoscale.min"),
        (OPENAI + 'charge_mode = "x"\n', "accounts[0].charge_mode: must be 'actual' or 'max_once'"),
        (OPENAI + "[run]\nretries = { unknown = -1 }\n", "run.retries.unknown: must not be below 0"),
        (OPENAI.replace('"gpt-5-mini"', ""), "penstock.toml:5: accounts[0].models: must not be empty"),
        (OPENAI.replace('["gpt-5-mini"]', '{ "a" = "" }'), "penstock.toml:5: accounts[0].models.a: must not be empty"),
        (OPENAI.replace("models", "licence"), "accounts[0].models: is missing; add `models = …`"),
        (OPENAI.replace('"a"', '"a@b"'), "penstock.toml:2: accounts[0].name: must be 1 to 64 letters"),
        (OPENAI.replace('"openai"', '"opnai"'), 'penstock.toml:3: accounts[0].provider: unknown provider "opnai"; did'),
        (OPENAI.replace('"openai"', '"antropic"'), 'did you mean "anthropic"?'),
        (OPENAI.replace('"openai"', '"qqq"'), "(known: openai, azure,"),
        (
            OPENAI + 'protocol = "anthropic"\n',
            "accounts[0].protocol: names no dialect; known are openai-chat, openai-responses,",
        ),
        (OPENAI.replace("api_key", "licence"), 'needs a key; add `api_key = "env:OPENAI_API_KEY"`'),
        (OPENAI.replace('"openai"', '"azure"'), 'base_url: provider "azure" needs a base_url, like "https://RESOURCE'),
        (OPENAI + OPENAI, 'penstock.toml:7: accounts[1].name: "a" is already the name of accounts[0]'),
        (OPENAI.replace('"a"', '"azure"'), "is also a provider"),
        (OPENAI.replace('"a"', '"openai"') + OPENAI, "is also a provider"),
        (OPENAI + "prices = { gpt-5-mimi = { input = 1, output = 1 } }\n", 'this account; did you mean "gpt-5-mini"?'),
        (
            OPENAI + "prices = { gpt-5-mini = { input = -1, output = 1 } }\n",
            "prices.gpt-5-mini.input: must not be below",
        ),
        (OPENAI + "prices = { gpt-5-mini = { input = nan, output = 1 } }\n", "prices.gpt-5-mini.input: must be"),
        (
            OPENAI + 'prices = { gpt-5-mini = { input = "x", output = 1 } }\n',
            "prices.gpt-5-mini.input: must be a number",
        ),
        (OPENAI + "prices = { gpt-5-mini = { input = 1 } }\n", "prices.gpt-5-mini.output: is missing"),
        (OPENAI + 'headers = { "a b" = "c" }\n', 'accounts[0].headers."a b": is not a header name'),
        (OPENAI + 'headers = { Host = "c" }\n', "accounts[0].headers.Host: is set by the worker itself"),
        (OPENAI + 'headers = { X-A = "a\\nb" }\n', "accounts[0].headers.X-A: must be printable ASCII"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_key_and_remedy(text: str, expected: str) -> None:
    assert any(expected in line for line in refused(text)), refused(text)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/v1",
        "host/v1",
        "https://",
        "https://user:word@host/v1",
        "https://host/v1?key=1",
        "https://host/v1#x",
        "https://host/v 1",
        "https://host:port/v1",
        "https://host:0/v1",
        "https://[::1/v1",
        "https://host/v1/chat/completions",
        "https://host/v1/embeddings/",
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused(url: str) -> None:
    assert all(
        "accounts[0].base_url: must" in line or "is not a URL" in line for line in refused(f'{VLLM}base_url = "{url}"')
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "https://[::1]:8000/v1", "http://gpu-box"])
def test_plain_http_loopback_and_bare_hosts_are_fine(url: str) -> None:
    assert settings(f'{VLLM}base_url = "{url}"').accounts[0].base_url == url


CANARY = "sk-proj-Canary0123456789abcdefXYZ"


@pytest.mark.parametrize(
    "line",
    [
        f'api_key = "{CANARY}"',
        f'api_key = "env:{CANARY}"',
        'api_key = "env:hf_Canary0123456789abcdefXYZ"',
        f'api_key = "file:{CANARY}"',
        'api_key = "env:"',
        'api_key = "file:"',
        f'api_key = ["{CANARY}"]',
        f'headers = {{ Authorization = "Bearer {CANARY}" }}',
        f'headers = {{ X-Whatever = "Bearer {CANARY}" }}',
        f'licence = "{CANARY}"',
        f'workers = "{CANARY}"',
        f'apikey = "{CANARY}"',
        f"api_key = {CANARY}",
        f'base_url = "https://{CANARY}:x@host/v1"',
    ],
)
def test_a_key_in_the_file_is_refused_and_never_shown(line: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(VLLM + line, FILE)
    told = f"{error.value!r}{error.value}{error.value.__cause__ or ''}"
    assert "Canary0123456789" not in told
    assert "penstock.toml:5" in told


def test_limits_that_disagree_within_a_group_are_refused() -> None:
    text = VLLM + "limits = { concurrency = 4 }\n" + OPENAI + 'limit_group = "v"\nlimits = { concurrency = 5 }\n'
    (line,) = refused(text)
    assert line.startswith(
        'penstock.toml:12: accounts[1].limits: limit group "v" has other limits at accounts[0] ("v")'
    )
    assert line.endswith("declare the limits at one of its accounts, or the same at all")


def test_all_problems_are_reported_together_in_the_order_of_the_file() -> None:
    lines = refused(VLLM + "workers = 0\nfoo = 1\n" + OPENAI + "bar = 1\n")
    assert [line.split(":")[1] for line in lines] == ["5", "6", "12"]


def test_a_missing_file_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `penstock init` writes one"):
        load(tmp_path / "penstock.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "penstock.toml")


def test_a_folder_is_not_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


BROKER = f"""{OPENAI}
[broker]
database = "env:PENSTOCK_DATABASE"
rabbitmq = "amqp://rabbit.example/penstock"
redis = "file:secrets/redis"
spool = "spool"
projects = {{ team-a = "evals" }}
"""


def test_the_servers_of_a_fleet_are_urls_or_references(tmp_path: Path) -> None:
    broker = parse(BROKER, tmp_path / "penstock.toml").broker
    assert broker.database == "env:PENSTOCK_DATABASE"
    assert broker.rabbitmq == "amqp://rabbit.example/penstock"
    assert broker.redis == f"file:{tmp_path / 'secrets/redis'}"
    assert broker.spool == tmp_path / "spool"
    assert broker.projects == {"team-a": "evals"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('database = "postgresql://me:canary-password@host/db"', "must not hold a password"),
        ('database = "postgresql://host/db?password=canary-password"', "must not hold a password"),
        ('rabbitmq = "http://host"', "must begin with amqp:// or amqps://"),
        ('redis = "localhost"', "must begin with redis://"),
        ('prefix = "a b"', "letters, digits"),
    ],
)
def test_a_server_that_cannot_be_meant_is_refused_without_quoting_it(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(f"{OPENAI}\n[broker]\n{line}\n", tmp_path / "penstock.toml")
    assert why in str(error.value)
    assert "canary-password" not in str(error.value)


def test_a_model_cannot_be_called_like_the_route_of_a_use() -> None:
    """Else a row could name it, and reach an account that its batch may not use."""
    (message,) = refused(VLLM.replace('["m"]', '["m+use:non-commercial"]'))
    assert "+use:" in message

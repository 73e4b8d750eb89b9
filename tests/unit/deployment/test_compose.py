"""compose.yaml, checked as far as that goes without an engine."""

import importlib.util
import re
import stat
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from compose_pydantic.models import ComposeSpecification
from pydantic import ValidationError

from broker.cli.fleet import GRACE_S
from broker.secrets import read_secret, read_url
from broker.settings import load
from tests.unit.deployment.files import REFERENCE, ROOT, documents, options, seconds

(COMPOSE,) = documents(ROOT / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("penstock")}
CONFIG = ROOT / "deploy/compose/penstock.toml"
SECRET_WORDS = re.compile(r"password|secret|key|token", re.IGNORECASE)


def test_it_is_what_the_compose_specification_says() -> None:
    ComposeSpecification.model_validate(COMPOSE)
    wrong = COMPOSE | {"services": {"serve": SERVICES["serve"] | {"depends": []}}}
    with pytest.raises(ValidationError):
        ComposeSpecification.model_validate(wrong)


def test_whatever_a_service_names_is_there() -> None:
    for name, service in SERVICES.items():
        for kind in ("secrets", "configs"):
            used = {one if isinstance(one, str) else one["source"] for one in service.get(kind, [])}
            assert used <= COMPOSE[kind].keys(), name
        assert set(service.get("depends_on", {})) <= SERVICES.keys(), name
        assert set(service["networks"]) <= COMPOSE["networks"].keys(), name
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"], name
    for config in COMPOSE["configs"].values():
        assert (ROOT / config["file"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    uid, _, gid = service["user"].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert not service.get("cap_add")
    assert not service.get("privileged")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert not any("docker.sock" in volume for volume in service.get("volumes", []))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_to_a_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert name in OURS or re.search(r":\d+\.\d+\.?\d*-[a-z]+$|@sha256:[0-9a-f]{64}$", image), image


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_every_command_line_is_one_of_ours(name: str) -> None:
    options(OURS[name]["command"])


def test_the_servers_are_reached_from_inside_only_and_the_fleet_reaches_out() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    reaching_out = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert reaching_out == {"rabbitmq", "fleet"}  # its pages; the providers


def test_no_secret_stands_in_a_file_that_is_checked_in() -> None:
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./deploy/compose/secrets/")
    assert "/deploy/compose/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            assert not SECRET_WORDS.search(variable) or value.startswith("/run/secrets/"), f"{name}: {variable}"


def test_the_configuration_loads_and_reads_only_what_is_mounted() -> None:
    settings = load(CONFIG)
    servers = [settings.broker.database, settings.broker.rabbitmq, settings.broker.redis]
    keys = [account.secret for account in settings.accounts]
    database = servers[:1]
    for references, users in ((servers, ("serve", "fleet")), (database, ("client", "migrate")), (keys, ("fleet",))):
        for reference in references:
            assert reference is not None
            assert REFERENCE.fullmatch(reference)
            for user in users:
                assert reference.removeprefix("file:/run/secrets/") in SERVICES[user]["secrets"]
    for one in ("serve", "client", "migrate"):  # whoever makes no calls has no provider's key
        assert not {f"file:/run/secrets/{secret}" for secret in SERVICES[one]["secrets"]} & set(keys)


def test_the_spool_is_on_a_volume() -> None:
    spool = load(CONFIG).broker.spool
    assert spool is not None
    mounted = [Path(volume.split(":")[1]) for volume in SERVICES["fleet"]["volumes"]]
    assert any(folder in spool.parents for folder in mounted)


def test_a_container_is_given_longer_to_stop_than_its_calls_take() -> None:
    longest = max(account.timeout_seconds for account in load(CONFIG).accounts)
    grace = float(options(SERVICES["fleet"]["command"]).get("grace", GRACE_S))
    assert longest < grace < seconds(SERVICES["fleet"]["stop_grace_period"])


def test_health_is_asked_for_where_it_is_told() -> None:
    for name in ("serve", "fleet"):
        told = options(SERVICES[name]["command"])["health"]
        assert f"http://{told}/livez" in SERVICES[name]["healthcheck"]["test"][-1]
    for name in OURS.keys() - {"serve", "fleet"}:
        assert SERVICES[name]["healthcheck"] == {"disable": True}


def test_everything_waits_for_what_it_needs() -> None:
    for name in ("serve", "fleet"):
        conditions = {on: how["condition"] for on, how in SERVICES[name]["depends_on"].items()}
        assert conditions == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "rabbitmq": "service_healthy",
            "redis": "service_healthy",
        }
    for server in ("postgres", "rabbitmq", "redis"):
        assert SERVICES[server]["healthcheck"]["test"]


def test_the_secrets_that_are_made_fit_together(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = _make_secrets()
    assert made.make(folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert before.keys() == wanted - {"openai_api_key"}  # the one that only the operator has
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    passwords = set()
    for name, file in (("database", "postgres_password"), ("rabbitmq", "rabbitmq.conf"), ("redis", "redis.conf")):
        url = urlsplit(read_url(f"file:{folder / name}_url"))
        assert url.password is not None
        assert len(url.password) >= 32
        assert url.password in before[file]
        assert url.hostname in SERVICES
        passwords.add(url.password)
    assert len(passwords) == 3
    assert read_secret(f"file:{folder / 'postgres_password'}").reveal() in passwords
    assert not made.make(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def _make_secrets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_secrets", ROOT / "deploy/compose/make_secrets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""deploy/kubernetes, checked as far as that goes without a cluster."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from broker.domain.account import Account
from broker.domain.route import Routes
from broker.settings import load
from broker.transport.rabbitmq.topology import Topology
from tests.unit.deployment.files import REFERENCE, ROOT, documents, options

FOLDER = ROOT / "deploy/kubernetes"
VERSIONS = ("1.30", "1.34")
CONFIG = FOLDER / "penstock.toml"
(KUSTOMIZATION,) = documents(FOLDER / "kustomization.yaml")
OBJECTS = [document for name in KUSTOMIZATION["resources"] for document in documents(FOLDER / name)]
_KEDA = "keda.sh/v1alpha1"
_RABBITMQ_TRIGGER = {"protocol", "queueName", "mode", "value"}


def kind(wanted: str) -> list[dict[str, Any]]:
    return [one for one in OBJECTS if one["kind"] == wanted]


def name(one: dict[str, Any]) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


WORKLOADS = [*kind("Deployment"), *kind("Job")]
WORKERS = [one for one in kind("Deployment") if "penstock/account" in one["metadata"]["labels"]]


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (one,) = pod(workload)["containers"]
    found: dict[str, Any] = one
    return found


def account_of(worker: dict[str, Any]) -> Account:
    wanted = worker["metadata"]["labels"]["penstock/account"]
    (account,) = [account for account in load(CONFIG).accounts if account.name == wanted]
    return account


def mounted_secrets(workload: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Where each Secret is mounted, and its name."""
    folders = {mount["name"]: Path(mount["mountPath"]) for mount in container(workload)["volumeMounts"]}
    for volume in pod(workload)["volumes"]:
        if "secret" in volume:
            yield folders[volume["name"]], volume["secret"]["secretName"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("one", [one for one in OBJECTS if one["apiVersion"] != _KEDA], ids=name)
def test_it_is_what_the_api_takes(one: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(one, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(one | {"sepc": {}}, version, strict=True)


def test_the_kustomization_names_files_that_are_there_and_all_of_them() -> None:
    assert KUSTOMIZATION["kind"] == "Kustomization"
    assert {path.name for path in FOLDER.glob("*.yaml")} == {"kustomization.yaml", *KUSTOMIZATION["resources"]}
    for config in KUSTOMIZATION["configMapGenerator"]:
        assert all((FOLDER / file).is_file() for file in config["files"])
    (image,) = KUSTOMIZATION["images"]
    assert {container(workload)["image"] for workload in WORKLOADS} == {image["name"]}
    assert image.get("newTag", "latest") != "latest"


@pytest.mark.parametrize("workload", WORKLOADS, ids=name)
def test_every_pod_is_confined(workload: dict[str, Any]) -> None:
    """What the pod security standard `restricted` asks for, and a root that cannot be written to."""
    who = pod(workload)["securityContext"]
    assert who["runAsNonRoot"] is True
    assert min(who["runAsUser"], who["runAsGroup"]) >= 10_000
    assert who["seccompProfile"] == {"type": "RuntimeDefault"}
    what = container(workload)["securityContext"]
    assert what == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(workload)["automountServiceAccountToken"] is False
    assert container(workload)["resources"]["limits"]["memory"]
    assert not {"hostPath"} & {key for volume in pod(workload)["volumes"] for key in volume}


@pytest.mark.parametrize("workload", WORKLOADS, ids=name)
def test_every_command_line_is_one_of_ours(workload: dict[str, Any]) -> None:
    options(container(workload)["args"])


@pytest.mark.parametrize("workload", kind("Deployment"), ids=name)
def test_probes_ask_where_health_is_told(workload: dict[str, Any]) -> None:
    (port,) = container(workload)["ports"]
    host, _, told = options(container(workload)["args"])["health"].rpartition(":")
    assert (host, int(told)) == ("0.0.0.0", port["containerPort"])  # noqa: S104 - the node asks from outside the pod
    paths = {probe: container(workload)[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")}
    assert paths == {
        "livenessProbe": {"path": "/livez", "port": port["name"]},
        "readinessProbe": {"path": "/readyz", "port": port["name"]},
    }


def test_no_secret_is_part_of_it_and_every_one_is_referred_to() -> None:
    assert not kind("Secret")
    settings = load(CONFIG)
    servers = [settings.broker.database, settings.broker.rabbitmq, settings.broker.redis]
    for workload in kind("Deployment"):
        folders = [folder for folder, _ in mounted_secrets(workload)]
        for reference in servers:
            assert reference is not None
            assert REFERENCE.fullmatch(reference)
            assert Path(reference.removeprefix("file:")).parent in folders, name(workload)
    assert not any("env" in container(workload) for workload in WORKLOADS)


def test_there_is_a_worker_for_each_account_with_its_key_alone() -> None:
    accounts = {account.name: account for account in load(CONFIG).accounts}
    assert {account_of(worker).name for worker in WORKERS} == accounts.keys()
    keys = {Path((account.secret or "").removeprefix("file:")).parent for account in accounts.values()}
    for worker in WORKERS:
        account = account_of(worker)
        assert options(container(worker)["args"])["account"] == account.name
        mine = Path((account.secret or "").removeprefix("file:")).parent
        assert {folder for folder, _ in mounted_secrets(worker)} & keys == {mine}
    for other in [one for one in WORKLOADS if one not in WORKERS]:
        assert not {folder for folder, _ in mounted_secrets(other)} & keys, name(other)


@pytest.mark.parametrize("worker", WORKERS, ids=name)
def test_a_worker_may_finish_its_longest_call(worker: dict[str, Any]) -> None:
    assert pod(worker)["terminationGracePeriodSeconds"] > account_of(worker).timeout_seconds


@pytest.mark.parametrize("worker", WORKERS, ids=name)
def test_the_spool_of_a_worker_outlasts_its_pod(worker: dict[str, Any]) -> None:
    spool = load(CONFIG).broker.spool
    assert spool is not None
    claims = {claim["metadata"]["name"]: claim for claim in kind("PersistentVolumeClaim")}
    (volume,) = [volume for volume in pod(worker)["volumes"] if "persistentVolumeClaim" in volume]
    assert claims[volume["persistentVolumeClaim"]["claimName"]]["spec"]["accessModes"] == ["ReadWriteMany"]
    (mount,) = [mount for mount in container(worker)["volumeMounts"] if mount["name"] == volume["name"]]
    assert Path(mount["mountPath"]) in spool.parents


def test_two_serve_and_one_always_stays() -> None:
    (serve,) = [one for one in kind("Deployment") if one["metadata"]["name"] == "penstock-serve"]
    assert serve["spec"]["replicas"] == 2
    labels = {one["metadata"]["name"]: one["metadata"]["labels"] for one in kind("Deployment")}
    budgets = {one["metadata"]["name"]: one["spec"] for one in kind("PodDisruptionBudget")}
    assert budgets.keys() == labels.keys()
    for which, budget in budgets.items():
        assert budget["selector"]["matchLabels"].items() <= labels[which].items()
    assert budgets["penstock-serve"]["minAvailable"] == 1


def test_workers_are_scaled_by_the_queues_of_their_account() -> None:
    topology = Topology(prefix=load(CONFIG).broker.prefix)
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in kind("ScaledObject")}
    authentications = {one["metadata"]["name"] for one in kind("TriggerAuthentication")}
    assert scaled.keys() == {worker["metadata"]["name"] for worker in WORKERS}
    for worker in WORKERS:
        account, spec = account_of(worker), scaled[worker["metadata"]["name"]]
        assert "replicas" not in worker["spec"]  # two owners of one number would fight
        assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
        queues = {topology.ready(route) for route in Routes(load(CONFIG).accounts).of(account)}
        for trigger in spec["triggers"]:
            assert trigger["type"] == "rabbitmq"
            assert trigger["metadata"].keys() == _RABBITMQ_TRIGGER
            assert trigger["metadata"]["queueName"] in queues
            assert trigger["metadata"]["mode"] == "QueueLength"
            assert float(trigger["metadata"]["value"]) > 0
            assert trigger["authenticationRef"]["name"] in authentications
    for one in kind("TriggerAuthentication"):
        for target in one["spec"]["secretTargetRef"]:
            assert target.keys() == {"parameter", "name", "key"}

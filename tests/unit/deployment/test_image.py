"""The image: what it is made of, and who runs in it."""

import re
from fnmatch import fnmatch

from tests.unit.deployment.files import ROOT

LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
INSTRUCTIONS = [line.split(None, 1) for line in LINES if line and not line.startswith("#")]
FINAL = INSTRUCTIONS[max(at for at, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM") :]


def rules() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def taken(path: str) -> bool:
    """Whether a file is sent to the builder: the last rule that meets it or a folder of it decides."""
    verdict = True
    for rule in rules():
        pattern = rule.removeprefix("!")
        parts = path.split("/")
        parents = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        candidates = [pattern, pattern.removeprefix("**/")]
        if any(fnmatch(parent, one) for parent in (*parents, parts[-1]) for one in candidates):
            verdict = rule.startswith("!")
    return verdict


def sources() -> list[str]:
    copied = [rest.split() for word, rest in INSTRUCTIONS if word == "COPY" and "--from" not in rest]
    return [source for words in copied for source in words[:-1]]


def test_only_what_the_image_is_made_of_is_sent_to_the_builder() -> None:
    for source in sources():
        path = ROOT / source
        assert path.exists(), source
        file = next(path.rglob("*.py")).relative_to(ROOT).as_posix() if path.is_dir() else source
        assert taken(file), file
    private = ("penstock.toml", "penstock.db", ".env", "deploy/compose/secrets/database_url", ".git/config", ".venv/x")
    for path_ in private:
        assert not taken(path_), path_
    assert not taken("broker/__pycache__/app.pyc")


def test_dependencies_come_from_the_lock_by_hash() -> None:
    runs = [rest for word, rest in INSTRUCTIONS if word == "RUN" and "pip install" in rest]
    assert any("--require-hashes -r requirements/runtime.txt" in run for run in runs)
    assert all("--require-hashes" in run or "--no-deps --no-build-isolation" in run for run in runs)


def test_the_base_is_pinned_to_a_version_of_python_that_we_support() -> None:
    (image,) = [rest for word, rest in INSTRUCTIONS if word == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.1[1-9]\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", image)
    assert {rest.split()[0] for word, rest in INSTRUCTIONS if word == "FROM"} == {"${PYTHON_IMAGE}"}


def test_it_runs_as_nobody_in_particular_and_needs_no_shell() -> None:
    last = dict(FINAL)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", last["USER"])
    assert last["ENTRYPOINT"] == '["penstock"]'
    assert "/livez" in last["HEALTHCHECK"]
    assert re.search(r'CMD \["python", "-c",', last["HEALTHCHECK"])
    assert [word for word, _ in FINAL].index("USER") > [word for word, _ in FINAL].index("RUN")

"""Private server processes from Debian packages, where we are root and may install them."""

import os
import random
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.servers.finding import Unavailable

STOP_S = 20.0


def may_install() -> bool:
    """Whether we are root on Debian."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


def program(pattern: str, package: str) -> Path:
    """Return the newest program that matches a pattern below `/`; its package is installed when there is none."""
    if not may_install():
        raise Unavailable("needs root on Debian")
    found = _newest(pattern)
    if found is None:
        _install(package)
        found = _newest(pattern)
    if found is None:
        raise Unavailable(f"package {package} has no /{pattern}")
    return found


def _newest(pattern: str) -> Path | None:
    return max(Path("/").glob(pattern), key=lambda path: [int(n) for n in path.parts if n.isdigit()], default=None)


def _install(package: str) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "PATH": os.defpath + ":/usr/sbin:/sbin"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        done = subprocess.run(
            ["apt-get", "--quiet", *arguments], env=quiet, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unavailable(f"apt-get {arguments[0]} failed: {done.stderr.strip()[-300:]}")


def folder_of(user: str, stack: ExitStack) -> Path:
    """Make a folder that belongs to a system user and goes away with the stack."""
    path = Path(tempfile.mkdtemp(prefix=f"penstock-{user}-"))
    stack.callback(shutil.rmtree, path, ignore_errors=True)
    shutil.chown(path, user, user)
    return path


def as_user(user: str, *command: str | Path) -> list[str]:
    """Return the command line that runs a command as a system user; it dies with its parent."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--pdeathsig=INT", *map(str, command)]


def lasting_port() -> int:
    """Return a free port that stays free while its server is away: no outgoing connection gets one of these."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port

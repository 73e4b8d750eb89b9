"""Whether there is a Docker to start servers in."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.finding import Unavailable


def ask_docker() -> None:
    """Raise `Unavailable` unless a Docker daemon answers."""
    with quiet():
        import docker
        from docker.errors import DockerException

        try:
            client = docker.from_env(timeout=5)
            client.ping()
            client.close()
        except DockerException as error:
            raise _unavailable(error) from None
        finally:
            gc.collect()  # what a failed client left open complains here, where nobody minds


@contextmanager
def starting() -> Iterator[None]:
    """Turn what goes wrong while a container starts (no such image, no registry) into `Unavailable`."""
    ask_docker()
    with quiet():
        from docker.errors import DockerException

        try:
            yield
        except DockerException as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(str(error).partition("(")[0].strip(" :") or type(error).__name__)


@contextmanager
def quiet() -> Iterator[None]:
    """Let the Docker client's own warnings pass: they are not ours to fail on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

"""How tests get their RabbitMQ."""

from contextlib import ExitStack

import pytest

from tests.servers import debian, rabbitmq
from tests.servers.finding import NoServer, Unavailable, obtain


def test_a_url_in_the_environment_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rabbitmq.VARIABLE, "amqp://guest:guest@127.0.0.1:1/")
    with pytest.raises(NoServer, match=rabbitmq.VARIABLE):
        obtain("RabbitMQ", rabbitmq.ways(), ExitStack())


def test_a_private_server_answers_obeys_and_is_gone_afterwards() -> None:
    with ExitStack() as stack:
        if not debian.may_install():
            with pytest.raises(Unavailable, match="needs root on Debian"):
                rabbitmq.debian_process(stack)
            return
        node = rabbitmq.debian_process(stack)
        assert "penstock" in node.control("-q", "cluster_status")
    with pytest.raises(Unavailable):
        rabbitmq._answering(node.url)

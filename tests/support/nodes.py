"""One private RabbitMQ and one private PostgreSQL for a whole run of pytest, whichever folder asks first."""

import tempfile
from functools import cache
from pathlib import Path

import pytest

from deploy.local.node import RabbitNode
from tests.support.broker import Broker
from tests.support.postgres import PostgresServer


@cache
def shared_broker(config: pytest.Config) -> Broker:
    """A broker that is started once and stopped when pytest ends."""
    folder = tempfile.TemporaryDirectory(prefix="edges-", ignore_cleanup_errors=True)
    broker = Broker(RabbitNode(Path(folder.name)))
    config.add_cleanup(folder.cleanup)
    config.add_cleanup(broker.node.stop)
    broker.start()
    return broker


@cache
def shared_postgres(config: pytest.Config) -> PostgresServer:
    """A PostgreSQL server that is started once and stopped when pytest ends."""
    folder = tempfile.TemporaryDirectory(prefix="ledger-", ignore_cleanup_errors=True)
    server = PostgresServer(Path(folder.name))
    config.add_cleanup(folder.cleanup)
    config.add_cleanup(server.stop)
    server.start()
    return server

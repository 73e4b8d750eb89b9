"""Where a process keeps answers that the database did not take."""

import hashlib
from pathlib import Path

from broker.secrets import state_home
from broker.store.engine import Database


def spool_directory(database: Database) -> Path:
    """Where answers wait that the database did not take: beside a SQLite file, else in the user's folder for state.

    Whatever folder the next process is started in, it finds them. Each database has its own: an answer that is
    replayed into another one belongs to no job there, and is lost.
    """
    url = database.url
    if url.get_backend_name() == "sqlite":
        return Path(f"{Path(url.database or '').resolve()}.spool")
    host = url.host or url.query.get("host")
    port = url.port or url.query.get("port", 5432)
    name = hashlib.sha256(f"{host}:{port}/{url.database}".encode()).hexdigest()[:12]
    return state_home() / "penstock" / f"{name}.spool"

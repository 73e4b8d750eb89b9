"""Brings a database to the schema of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select

import broker
from broker.errors import StoreError

_MIGRATION_KEY = 0x6D696772617465  # "migrate"


class SchemaTooOld(StoreError):
    """The database has not been migrated to this version of penstock, or not at all."""

    code = "schema_too_old"


class SchemaTooNew(StoreError):
    """The database was migrated by a newer version of penstock."""

    code = "schema_too_new"


def scripts_folder() -> Path:
    """Where the migrations are: beside the packages in a source tree, inside `broker` in a wheel."""
    package = Path(broker.__file__).parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def upgrade(connection: Connection) -> tuple[str | None, str]:
    """Migrate to the newest revision, in the caller's transaction; returns the revisions before and after.

    Processes that come at once wait for the first one, and find it done. Raises `SchemaTooNew` for a revision that
    this version does not know.
    """
    if connection.dialect.name == "postgresql":  # on SQLite a writing transaction is alone anyway
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_KEY)))
    config = _config()
    config.attributes["connection"] = connection
    before, head = compared(connection)
    if before != head:
        command.upgrade(config, "head")
    return before, head


def check(connection: Connection) -> None:
    """Raise `SchemaTooOld` or `SchemaTooNew` for a database that this version cannot read; changes nothing."""
    before, head = compared(connection)
    if before is None:
        raise SchemaTooOld("the database is empty; `penstock run` fills it, `penstock db upgrade` prepares it")
    if before != head:
        raise SchemaTooOld(f"the database has schema {before}, this version needs {head}; run `penstock db upgrade`")


def compared(connection: Connection) -> tuple[str | None, str]:
    """The revision of the database (`None` for an empty one) and the newest; raises `SchemaTooNew`."""
    scripts = ScriptDirectory.from_config(_config())
    head = scripts.get_current_head() or ""
    before = current(connection)
    if before is not None and before not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaTooNew(f"the database has schema {before}, this version knows up to {head}; upgrade penstock")
    return before, head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts_folder()))
    config.set_main_option("path_separator", "os")
    return config


def current(connection: Connection) -> str | None:
    """The revision of the database; `None` for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()

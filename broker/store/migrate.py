"""Brings a database to the schema of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import broker
from broker.errors import StoreError


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

    Raises `SchemaTooNew` for a revision that this version does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts_folder()))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head() or ""
    before = current(connection)
    if before == head:
        return before, head
    if before is not None and before not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaTooNew(f"the database has schema {before}, this version knows up to {head}; upgrade penstock")
    command.upgrade(config, "head")
    return before, head


def current(connection: Connection) -> str | None:
    """The revision of the database; `None` for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()

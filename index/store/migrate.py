"""Schema changes: Alembic migrations that ship with the hub and run before it serves.

`upgrade` brings a database to the newest schema (`hub migrate`, and the demo);
`check` refuses to serve on any other. There is no way back: a migration's
`downgrade` refuses, for what a newer program wrote an older one may not
understand, and the log is never dropped. Going back is a restored backup, which the hub then
refuses to sign on (docs/design/access-log.md, "Checkpoints, witnesses, quorum").
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

_FOLDER = Path(__file__).parent / "migrations"


class SchemaNotCurrent(Exception):
    """The database has another schema than this program; says what to run."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config


def newest() -> str:
    """The revision that this program needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or "none"


def revisions() -> list[str]:
    """Every schema that ever landed, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def upgrade(engine: Engine, to: str = "head") -> None:
    """Bring the database to the newest schema, all in one transaction or not at all."""
    config = _config()
    config.attributes["engine"] = engine
    command.upgrade(config, to)


def check(engine: Engine) -> None:
    """Refuse a database whose schema is not exactly this program's.

    Raises:
        SchemaNotCurrent: It is older, newer or empty.
    """
    wanted = newest()
    with engine.connect().execution_options(reading=True) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != wanted:
        raise SchemaNotCurrent(
            f"the database has schema {found or 'none'} and this program needs {wanted}; "
            "run: vlagwijzer hub migrate"
        )

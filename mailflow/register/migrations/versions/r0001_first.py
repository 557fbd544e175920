"""The first tables. The SQL lies beside this module, for each database as it is."""

from importlib.resources import files

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Statements are separated by empty lines, because the bodies of triggers hold semicolons."""
    connection = op.get_bind()
    script = files("mailflow.register.migrations.versions").joinpath(f"r0001_{connection.dialect.name}.sql")
    for statement in script.read_text(encoding="utf-8").split("\n\n"):
        connection.exec_driver_sql(statement)

"""Run by Alembic: applies the versions on the connection that `migrations.upgrade` hands over."""

from alembic import context

from mailflow.register.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

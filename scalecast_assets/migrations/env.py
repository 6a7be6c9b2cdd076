"""What Alembic runs: the versions that are missing, on the connection it was given."""

from alembic import context

from scalecast_assets.migrations.upgrade import VERSION_SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=VERSION_SCHEMA,
)
with context.begin_transaction():
    context.run_migrations()

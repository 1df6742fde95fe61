"""What Alembic runs to migrate: always on a connection whose transaction is open already."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()

"""What came of the handover of images out of a MAAS database.

Revision 0002. Code that knows only the first revision goes on beside it: it never looks here.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table; a cluster that was never told to migrate has no row in it."""
    op.create_table(
        "handover",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("maas", sa.Text, nullable=False),
        sa.Column("withholds", sa.Boolean, nullable=False),
        sa.Column("begun", INSTANT, nullable=False),
        sa.Column("succeeded", INSTANT),
        sa.Column("finished", INSTANT),
        sa.Column("set_aside", sa.JSON, nullable=False),
        sa.Column("taken_over", sa.JSON, nullable=False),
        sa.CheckConstraint("id = 1", name="ck_handover_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_handover"),
    )

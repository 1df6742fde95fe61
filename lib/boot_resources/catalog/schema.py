"""The tables of the catalog. Alembic's migrations build them; a test holds the two equal.

Sizes and counts are 64 bits wide. Times are ``clock.Instant``: UTC, of the database's clock.
An object's row is never deleted: it is a few bytes long and remembers what its bytes proved to be.
"""

import sqlalchemy as sa

from boot_resources.catalog import clock

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column that is declared INTEGER.
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")

cluster = sa.Table(
    "cluster",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uuid", sa.String(36), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    # The oldest schema revision whose code may still use this catalog.
    sa.Column("oldest_code", sa.Integer, nullable=False),
    sa.Column("created", clock.Instant, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

regions = sa.Table(
    "regions",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("joined", clock.Instant, nullable=False),
    # A member is a region that is not retired.
    sa.Column("retired", clock.Instant),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("expires", clock.Instant, nullable=False),
)

sources = sa.Table(
    "sources",
    metadata,
    sa.Column("id", ROW_NUMBER, primary_key=True),
    sa.Column("url", sa.Text, nullable=False, unique=True),
    sa.Column("keyring", sa.LargeBinary),
    sa.Column("allow_unsigned", sa.Boolean, nullable=False),
    # Whether a settings file says this row, and whether it says the selections.
    sa.Column("declared", sa.Boolean, nullable=False),
    sa.Column("selections_declared", sa.Boolean, nullable=False),
)

selections = sa.Table(
    "selections",
    metadata,
    sa.Column("id", ROW_NUMBER, primary_key=True),
    sa.Column("source_id", sa.ForeignKey("sources.id", ondelete="CASCADE"), nullable=False),
    sa.Column("os", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("arches", sa.JSON, nullable=False),
    sa.Column("subarches", sa.JSON, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Index(None, "source_id"),
)

documents = sa.Table(
    "documents",
    metadata,
    sa.Column("source_id", sa.ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("updated", clock.Instant, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("accepted", clock.Instant, nullable=False),
    # Why an operator lets the next document be older than this one; spent when it is accepted.
    sa.Column("guard_lowered_reason", sa.Text),
)

images = sa.Table(
    "images",
    metadata,
    sa.Column("id", ROW_NUMBER, primary_key=True),
    # Null: the image came from no boot source.
    sa.Column("source_id", sa.ForeignKey("sources.id")),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("os", sa.Text, nullable=False),
    sa.Column("arch", sa.Text, nullable=False),
    sa.Column("subarch", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("bootloader_type", sa.Text),
    sa.Column("extra", sa.JSON, nullable=False),
    # The version of its product that every member should have, or get.
    sa.Column("wanted", sa.Boolean, nullable=False),
    # Since when the source no longer offers it.
    sa.Column("dropped", clock.Instant),
    # The cluster's epoch and the time when every member had proved it.
    sa.Column("available_epoch", sa.BigInteger),
    sa.Column("available_since", clock.Instant),
    # Since when the wanted version of its product is available instead.
    sa.Column("superseded", clock.Instant),
    sa.UniqueConstraint("os", "arch", "subarch", "release", "label", "version"),
    sa.CheckConstraint(
        "(available_epoch IS NULL) = (available_since IS NULL)", name="available_both"
    ),
    sa.CheckConstraint("NOT (wanted AND superseded IS NOT NULL)", name="wanted_or_superseded"),
    sa.Index(None, "source_id"),
)

objects = sa.Table(
    "objects",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    # The sha256 of the object's block map, by its first prover.
    sa.Column("map_digest", sa.String(64)),
    # Since when, and why, nobody is given this object any more.
    sa.Column("withdrawn", clock.Instant),
    sa.Column("withdrawn_reason", sa.Text),
    sa.CheckConstraint("length(sha256) = 64", name="sha256"),
    sa.CheckConstraint("size >= 0", name="size"),
)

items = sa.Table(
    "items",
    metadata,
    sa.Column("image_id", sa.ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("filename", sa.Text, primary_key=True),
    sa.Column("ftype", sa.Text, nullable=False),
    # As the stream gives it: relative to the source's base.
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("sha256", sa.ForeignKey("objects.sha256"), nullable=False),
    sa.Column("extra", sa.JSON, nullable=False),
    sa.Index(None, "sha256"),
)

holdings = sa.Table(
    "holdings",
    metadata,
    # By object first: who else holds it is asked far more often than what a region holds.
    sa.Column("sha256", sa.ForeignKey("objects.sha256"), primary_key=True),
    sa.Column("region", sa.ForeignKey("regions.name"), primary_key=True),
    sa.Column("proved", clock.Instant, nullable=False),
    sa.Index(None, "region", "sha256"),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("region", sa.ForeignKey("regions.name"), primary_key=True),
    sa.Column("counter", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
    sa.CheckConstraint("value >= 0", name="value"),
)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("unit", sa.Text, primary_key=True),
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("severity", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("cure", sa.Text, nullable=False),
    sa.Column("since", clock.Instant, nullable=False),
)

# The handover of images out of a MAAS database; a cluster that was never told to has no row.
handover = sa.Table(
    "handover",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("region", sa.Text, nullable=False),
    # Which database, without a password.
    sa.Column("maas", sa.Text, nullable=False),
    # Whether nothing is offered before it has succeeded.
    sa.Column("withholds", sa.Boolean, nullable=False),
    sa.Column("begun", clock.Instant, nullable=False),
    sa.Column("succeeded", clock.Instant),
    # Since when MAAS's database no longer holds the images.
    sa.Column("finished", clock.Instant),
    sa.Column("set_aside", sa.JSON, nullable=False),
    # The sha256 of each file of each image that came along, by their names.
    sa.Column("taken_over", sa.JSON, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

"""The first schema: the cluster, its source, its images and who holds them.

Revision 0001. It also founds the cluster: this catalog's identity, for life.
"""

import uuid

import sqlalchemy as sa
from alembic import op

from boot_resources.catalog import clock

revision = "0001"
down_revision = None

INSTANT = sa.DateTime(timezone=True)
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
SHA256 = sa.String(64)


def upgrade() -> None:
    """Create every table, and found the cluster."""
    _create_cluster()
    _create_sources()
    _create_images()
    _found_cluster()


def _create_cluster() -> None:
    op.create_table(
        "cluster",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("oldest_code", sa.Integer, nullable=False),
        sa.Column("created", INSTANT, nullable=False),
        sa.CheckConstraint("id = 1", name="ck_cluster_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_cluster"),
    )
    op.create_table(
        "regions",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("joined", INSTANT, nullable=False),
        sa.Column("retired", INSTANT),
        sa.PrimaryKeyConstraint("name", name="pk_regions"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "ledger",
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("counter", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.CheckConstraint("value >= 0", name="ck_ledger_value"),
        sa.ForeignKeyConstraint(["region"], ["regions.name"], name="fk_ledger_region_regions"),
        sa.PrimaryKeyConstraint("region", "counter", name="pk_ledger"),
    )
    op.create_table(
        "notices",
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("severity", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("cure", sa.Text, nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("unit", "scope", "key", name="pk_notices"),
    )


def _create_sources() -> None:
    op.create_table(
        "sources",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("keyring", sa.LargeBinary),
        sa.Column("allow_unsigned", sa.Boolean, nullable=False),
        sa.Column("declared", sa.Boolean, nullable=False),
        sa.Column("selections_declared", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
        sa.UniqueConstraint("url", name="uq_sources_url"),
    )
    op.create_table(
        "selections",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("source_id", ROW_NUMBER, nullable=False),
        sa.Column("os", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("arches", sa.JSON, nullable=False),
        sa.Column("subarches", sa.JSON, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"],
            ["sources.id"],
            name="fk_selections_source_id_sources",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_selections"),
    )
    op.create_index("ix_selections_source_id", "selections", ["source_id"])
    op.create_table(
        "documents",
        sa.Column("source_id", ROW_NUMBER, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("updated", INSTANT, nullable=False),
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("etag", sa.Text),
        sa.Column("last_modified", sa.Text),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("accepted", INSTANT, nullable=False),
        sa.Column("guard_lowered_reason", sa.Text),
        sa.ForeignKeyConstraint(
            ["source_id"],
            ["sources.id"],
            name="fk_documents_source_id_sources",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("source_id", "path", name="pk_documents"),
    )


def _create_images() -> None:
    op.create_table(
        "images",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("source_id", ROW_NUMBER),
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
        sa.Column("wanted", sa.Boolean, nullable=False),
        sa.Column("dropped", INSTANT),
        sa.Column("available_epoch", sa.BigInteger),
        sa.Column("available_since", INSTANT),
        sa.Column("superseded", INSTANT),
        sa.CheckConstraint(
            "(available_epoch IS NULL) = (available_since IS NULL)",
            name="ck_images_available_both",
        ),
        sa.CheckConstraint(
            "NOT (wanted AND superseded IS NOT NULL)", name="ck_images_wanted_or_superseded"
        ),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_images_source_id_sources"),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.UniqueConstraint(
            "os",
            "arch",
            "subarch",
            "release",
            "label",
            "version",
            name="uq_images_os_arch_subarch_release_label_version",
        ),
    )
    op.create_index("ix_images_source_id", "images", ["source_id"])
    op.create_table(
        "objects",
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("map_digest", SHA256),
        sa.Column("withdrawn", INSTANT),
        sa.Column("withdrawn_reason", sa.Text),
        sa.CheckConstraint("length(sha256) = 64", name="ck_objects_sha256"),
        sa.CheckConstraint("size >= 0", name="ck_objects_size"),
        sa.PrimaryKeyConstraint("sha256", name="pk_objects"),
    )
    op.create_table(
        "items",
        sa.Column("image_id", ROW_NUMBER, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("ftype", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("extra", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="fk_items_image_id_images", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["sha256"], ["objects.sha256"], name="fk_items_sha256_objects"),
        sa.PrimaryKeyConstraint("image_id", "filename", name="pk_items"),
    )
    op.create_index("ix_items_sha256", "items", ["sha256"])
    op.create_table(
        "holdings",
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("proved", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["region"], ["regions.name"], name="fk_holdings_region_regions"),
        sa.ForeignKeyConstraint(["sha256"], ["objects.sha256"], name="fk_holdings_sha256_objects"),
        sa.PrimaryKeyConstraint("sha256", "region", name="pk_holdings"),
    )
    op.create_index("ix_holdings_region_sha256", "holdings", ["region", "sha256"])


def _found_cluster() -> None:
    columns = ("id", "uuid", "epoch", "oldest_code", "created")
    cluster = sa.table("cluster", *(sa.column(name) for name in columns))
    identity = {"id": 1, "uuid": str(uuid.uuid4()), "epoch": 1, "oldest_code": 1}
    op.execute(sa.insert(cluster).values(**identity, created=clock.now()))

"""A MAAS database is recognised, and whatever is none is refused in one line with its cure."""

import pytest
from psycopg import conninfo

from boot_resources import errors
from boot_resources.migration import database, inventory, schema
from support import maas, postgres


def read(found: maas.MaasDatabase, role: str = maas.MAAS) -> inventory.Inventory:
    with database.Database(found.url(role)).snapshot() as conn:
        return inventory.read(conn)


def test_both_generations_are_recognised(any_maas: maas.MaasDatabase) -> None:
    expected = {maas.V3_4: schema.Generation.V3_4, maas.V3_5: schema.Generation.V3_5}
    assert read(any_maas).generation is expected[any_maas.kind]


def test_the_query_to_run_by_hand_is_the_right_one_for_each(any_maas: maas.MaasDatabase) -> None:
    one, other = any_maas.store(b"one" * 1000), any_maas.store(b"other" * 1000)
    any_maas.store(b"nobody names this")
    for arch in ("amd64/ga-24.04", "amd64/hwe-24.04"):
        of_set = any_maas.version(any_maas.resource("ubuntu/noble", arch), "20240501")
        any_maas.file(of_set, "squashfs", one)
        any_maas.file(of_set, "boot-kernel", other)
    query = schema.query_for_space(read(any_maas).generation)
    assert any_maas.execute(query) == [(one.size + other.size,)]


def test_a_database_of_somebody_else_is_refused(postgresql_server: postgres.Server) -> None:
    name = postgresql_server.create_database()
    try:
        with database.Database(postgresql_server.url(name)).snapshot() as conn:
            with pytest.raises(schema.NotMaas, match="not one of MAAS's") as caught:
                inventory.read(conn)
        assert "psql -l" in caught.value.cure
    finally:
        postgresql_server.drop_database(name)


def test_a_maas_before_3_4_is_refused(maas_3_4: maas.MaasDatabase) -> None:
    maas_3_4.execute("DELETE FROM django_migrations WHERE name LIKE '0304%%'")
    with pytest.raises(schema.TooOld, match=r"before 3\.4") as caught:
        read(maas_3_4)
    assert "upgrade MAAS to 3.4" in caught.value.cure


def test_a_maas_that_keeps_no_images_in_its_database_is_refused(
    maas_3_5: maas.MaasDatabase,
) -> None:
    maas_3_5.execute("DROP TABLE maasserver_largefile CASCADE")
    maas_3_5.execute("DROP TABLE django_migrations")
    with pytest.raises(schema.TooNew, match=r"after 3\.7") as caught:
        read(maas_3_5)
    assert "store adopt" in caught.value.cure


def test_an_upgrade_that_stopped_half_way_is_refused(maas_3_4: maas.MaasDatabase) -> None:
    applied = "INSERT INTO django_migrations (app, name, applied) VALUES ('maasserver', %s, now())"
    maas_3_4.execute(applied, schema.FIRST_OF_3_5)
    with pytest.raises(schema.NotMaas, match="own list of migrations"):
        read(maas_3_4)


def test_a_schema_that_we_do_not_know_is_refused(any_maas: maas.MaasDatabase) -> None:
    any_maas.execute("ALTER TABLE maasserver_bootresource RENAME rolling TO tumbling")
    with pytest.raises(schema.TooNew, match=r"no maasserver_bootresource\.rolling"):
        read(any_maas)


def test_images_that_maas_moved_to_disk_are_named_with_where_they_are(
    maas_3_5: maas.MaasDatabase,
) -> None:
    of_set = maas_3_5.version(maas_3_5.resource("ubuntu/noble", "amd64/ga-24.04"), "20240501")
    file = maas_3_5.file(of_set, "squashfs", None, sha256="a" * 64, size=5)
    maas_3_5.region("region-a", file)
    with pytest.raises(inventory.AlreadyExported, match="region-a") as caught:
        read(maas_3_5)
    assert "store adopt /var/lib/maas/image-storage" in caught.value.cure
    assert "/var/snap/maas/common/maas/image-storage" in caught.value.cure


def test_a_role_without_rights_learns_what_to_grant(any_maas: maas.MaasDatabase) -> None:
    any_maas.execute(f"REVOKE SELECT ON maasserver_largefile FROM {maas.PUPIL}")
    with pytest.raises(schema.NotAllowed, match="may not read maasserver_largefile") as caught:
        read(any_maas, maas.PUPIL)
    grant = caught.value.cure.partition(": ")[2]
    any_maas.execute(grant)
    assert read(any_maas, maas.PUPIL).files == ()


def test_nothing_can_be_changed_in_a_snapshot(any_maas: maas.MaasDatabase) -> None:
    with database.Database(any_maas.url()).connect() as conn:
        with pytest.raises(Exception, match="read-only transaction"):
            conn.execute("DELETE FROM maasserver_largefile")


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        (("dbname", "nowhere"), "correct the name"),
        (("user", "nobody_we_know"), "check the user"),
        (("port", "1"), "check that the server runs"),
    ],
    ids=["no such database", "no such role", "no server"],
)
def test_a_database_that_cannot_be_reached_says_what_to_look_at(
    maas_3_4: maas.MaasDatabase, change: tuple[str, str], cure: str
) -> None:
    url = conninfo.make_conninfo(maas_3_4.url(), **dict([change]))
    with pytest.raises(database.Unreachable) as caught:
        database.Database(url).connect()
    assert cure in caught.value.cure


def test_a_url_that_cannot_be_read_is_refused_without_showing_its_password() -> None:
    with pytest.raises(errors.SettingsError) as caught:
        database.Database("postgresql://maas:secret@host:port:port/x y")
    assert "secret" not in str(caught.value) + caught.value.cure

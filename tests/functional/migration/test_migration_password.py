"""A password that was not encoded is refused without a word of it."""

import json
import logging
import pathlib
import urllib.parse
from collections.abc import Iterator

import psycopg
import pytest

from boot_resources import errors
from boot_resources.demo import origin, signed_source
from boot_resources.migration import database
from support import command, plane_region, postgres, settled

PASSWORDS = ["sEc@ret", "sEc/ret", "12/sEc@ret", "sEc@ret/sEc:1", "/sEc#ret", "1/a?user=sEc"]
WORDS = ("sEc", "ret")
"""What each of the passwords has of its own."""


@pytest.fixture
def house(tmp_path: pathlib.Path) -> Iterator[settled.House]:
    with signed_source.small_cloud(tmp_path / "source", 2_000_000) as source:
        with origin.Origin(source.directory) as served:
            cluster = plane_region.Cluster(tmp_path / "cluster")
            yield settled.House(tmp_path, source, served, cluster)


@pytest.mark.parametrize("password", PASSWORDS)
def test_it_is_refused_unseen(password: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        database.Database(f"postgresql://maas:{password}@host:5432/maasdb")
    said = f"{caught.value} {caught.value.cure}"
    assert "percent-encode" in said
    assert not [word for word in WORDS if word in said]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://maas:secret@host:secret/maasdb",
        "postgresql://maas:secret@host:5432,other:secret/maasdb",
        "host=ho@secret dbname=maasdb",
        "dbname=maas@secret",
        "port=secret",
    ],
)
def test_what_can_be_no_host_no_database_and_no_port_is_refused_unseen(url: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        database.Database(url)
    assert "secret" not in f"{caught.value} {caught.value.cure}"


@pytest.mark.parametrize("url", ["", "\n"])
def test_an_empty_url_is_called_empty(url: str) -> None:
    with pytest.raises(errors.SettingsError, match="is empty"):
        database.Database(url)


@pytest.mark.parametrize(
    ("url", "name", "place"),
    [
        ("postgresql://maas:p@host/db", "maas@host/db", "host:5432/db"),
        ("postgresql://m:p@h1:5432,h2:5433/db", "m@h1,h2/db", "h1,h2:5432,5433/db"),
        ("postgresql://m@/db?host=/run/pg&port=5433", "m@/run/pg/db", "/run/pg:5433/db"),
        ("host=h user=m password=p@/# dbname=db", "m@h/db", "h:5432/db"),
    ],
)
def test_a_url_that_can_be_read_is_named_without_its_password(
    url: str, name: str, place: str
) -> None:
    found = database.Database(url)
    assert (found.name, found.place) == (name, place)


def test_an_encoded_password_opens_the_database() -> None:
    password = "p@s/s#w?o:r%d"
    with postgres.running_server(loopback=True) as server:
        server.execute(f"CREATE ROLE maas LOGIN PASSWORD '{password}'")
        rules = server.directory / "data" / "pg_hba.conf"
        rules.write_text(f"host all maas 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        server.execute("SELECT pg_reload_conf()")
        encoded = urllib.parse.quote(password, safe="")
        url = f"postgresql://maas:{encoded}@127.0.0.1:{server.port}/postgres"
        with database.Database(url).snapshot() as conn:
            assert conn.execute("SELECT current_user").fetchone() == ("maas",)
        with pytest.raises(database.Unreachable, match="password"):
            database.Database(url.replace(encoded, "wrong")).connect()
        # What libpq itself makes of the password as it is.
        with pytest.raises(psycopg.Error):
            psycopg.connect(url.replace(encoded, password), connect_timeout=5)


@pytest.mark.parametrize("password", PASSWORDS)
def test_nothing_of_it_is_said_anywhere(
    password: str, house: settled.House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with house.region(f"postgresql://maas:{password}@host.invalid:5432/maasdb") as region:
        settled.wait_for_notice(region, "failed")
        said = [caplog.text, json.dumps(region.status())]
        for words in (["migrate"], ["migrate", "--check"], ["status"], ["status", "--json"]):
            done = command.run(*words, "--settings", house.file)
            said += [done.out, done.err]
        region.stop()
        done = command.run("migrate", "--check", "--settings", house.file)
        assert done.status == errors.EXIT_USAGE
        said += [done.out, done.err]
    assert "percent-encode" in done.err
    assert not [text for text in said for word in WORDS if word in text]

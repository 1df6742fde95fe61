"""Which database URLs are taken, and that none of them is shown with its secrets."""

import datetime

import pytest
import sqlalchemy as sa

from boot_resources import errors
from boot_resources.catalog import clock, database


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no url at all",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://user:hunter2@db/catalog",
        "postgresql+asyncpg://user:hunter2@db/catalog",
        "postgresql://user:hunter2@db:port/catalog",
        "/var/lib/catalog.sqlite",
    ],
)
def test_a_url_that_names_no_catalog_is_refused(url: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        database.open_catalog(url)
    assert "sqlite:////" in caught.value.cure
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_is_taken(scheme: str) -> None:
    catalog = database.open_catalog(
        f"{scheme}://maas:hunter2@db.example.com:5433/boot?sslmode=require&password=hunter2"
    )
    assert catalog.name == "postgresql://maas@db.example.com:5433/boot"
    assert catalog.shared
    catalog.close()


def test_a_moment_without_a_time_zone_is_refused() -> None:
    naive = datetime.datetime(2026, 1, 31, 9)  # noqa: DTZ001
    dialect = sa.create_engine("sqlite://").dialect
    with pytest.raises(ValueError, match="no time zone"):
        clock.Instant().process_bind_param(naive, dialect)


def test_a_moment_of_another_time_zone_is_kept_in_utc() -> None:
    vienna = datetime.timezone(datetime.timedelta(hours=1))
    moment = datetime.datetime(2026, 1, 31, 9, tzinfo=vienna)
    dialect = sa.create_engine("sqlite://").dialect
    bound = clock.Instant().process_bind_param(moment, dialect)
    read = clock.Instant().process_result_value(bound, dialect)
    assert read == moment
    assert read is not None
    assert read.utcoffset() == datetime.timedelta(0)

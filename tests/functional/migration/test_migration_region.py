"""A region that is told to migrate: at its start, by command, and what it says meanwhile."""

import pathlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import pydantic
import pytest

from boot_resources import errors
from boot_resources.catalog import availability, database
from boot_resources.demo import origin, signed_source
from boot_resources.settings import region as region_settings
from support import command, maas, plane_region, real_region, settled

SIZE = 2 * 1024 * 1024
CUSTOM = "custom/amd64/generic/forge/uploaded/20240501"


@pytest.fixture
def house(tmp_path: pathlib.Path) -> Iterator[settled.House]:
    """Give a source, and what a region beside it needs."""
    with signed_source.small_cloud(tmp_path / "source", SIZE) as source:
        with origin.Origin(source.directory) as served:
            cluster = plane_region.Cluster(tmp_path / "cluster")
            yield settled.House(tmp_path, source, served, cluster)


def upload(found: maas.MaasDatabase, name: str = "forge") -> maas.Stored:
    """Have an operator upload an image to MAAS."""
    stored = found.store(name.encode() * 99_999)
    of_set = found.version(found.resource(name, rtype=maas.UPLOADED), "20240501", "uploaded")
    found.file(of_set, "root-tgz", stored)
    return stored


def test_at_its_start_it_takes_over_what_maas_has_and_then_syncs_the_rest(
    any_maas: maas.MaasDatabase, house: settled.House
) -> None:
    stored = upload(any_maas)
    any_maas.seal()
    with house.region(any_maas.url()) as region:
        region.wait_for_images(house.images + 1)
        status = region.status()
        assert stored.sha256 in region.store_names()
        assert status["handover"]["succeeded"]
        assert status["serving"]
        assert status["notices"] == []
        done = command.run("images", "list", "--settings", house.file, "--json")
        assert CUSTOM in {each["name"] for each in done.document["images"]}


def test_it_serves_nothing_and_fetches_nothing_before_it_has_succeeded(
    maas_3_5: maas.MaasDatabase, house: settled.House
) -> None:
    stored = upload(maas_3_5)
    other = upload(maas_3_5, "whole")
    maas_3_5.remove(stored)
    maas_3_5.seal()
    with house.region(maas_3_5.url()) as region:
        settled.wait_for_notice(region, "open")
        region.sync()
        status = region.status()
        assert status["images"] == 0
        assert settled.says_that_it_serves(region, house) == {False}
        assert house.served.payload_bytes == 0
        assert other.sha256 in region.store_names(), "what is exported is not tidied away"
        (notice,) = settled.about_migration(status)
        assert CUSTOM in notice["text"]
        assert "nothing is offered before it has succeeded" in notice["text"]
        assert "--accept-lost" in notice["cure"]
        shown = command.run("status", "--settings", house.file)
        assert "open; nothing is offered before it has succeeded" in shown.out
        listed = command.run("images", "list", "--settings", house.file)
        assert "none of them is offered before the migration" in listed.err
        # It stays so over a restart, and MAAS's images are not read again.
        region.stop()
        region.start()
        settled.wait_for_notice(region, "open")
        assert settled.says_that_it_serves(region, house) == {False}
        again = command.run("migrate", "--settings", house.file, "--json")
        assert again.status == errors.EXIT_FAILED
        assert again.document["read"] == 0
        assert again.document["set_aside"][0]["resolution"] == "open"
        # An operator decides.
        done = command.run("migrate", "--accept-lost", CUSTOM, "--settings", house.file)
        assert done.status == errors.EXIT_OK
        assert "1 image taken over" in done.out
        region.wait_for_images(house.images + 1)
        assert settled.says_that_it_serves(region, house) == {True}
        status = region.status()
        (lost,) = status["handover"]["set_aside"]
        assert lost["resolution"] == "lost"
        assert lost["accepted_by"]
        assert lost["accepted"]
        assert "not in the database" in lost["reason"]
        assert settled.about_migration(status) == []
        # The loss stays accepted, and who said so.
        assert command.run("migrate", "--settings", house.file).status == errors.EXIT_OK
        assert region.status()["handover"]["set_aside"] == [lost]


def test_what_becomes_complete_by_and_by_is_not_offered_before_the_rest(
    maas_3_5: maas.MaasDatabase, house: settled.House
) -> None:
    maas_3_5.remove(upload(maas_3_5))
    objects = real_region.objects_of(house.source)
    sets: dict[tuple[str, str], int] = {}
    for each in house.source.truth:
        if each.filename.endswith(".tar.xz"):
            names = (f"{each.os}/{each.release}", f"{each.arch}/{each.subarch}")
            if names not in sets:
                resource = maas_3_5.resource(*names, bootloader_type=each.release)
                sets[names] = maas_3_5.version(resource, each.version, each.label)
            stored = maas_3_5.store(objects[each.sha256])
            maas_3_5.file(sets[names], each.filename, stored, "archive.tar.xz")
    maas_3_5.seal()
    with house.region(maas_3_5.url()) as region:
        settled.wait_for_notice(region, "open")
        # At the next start it states what its disk holds, whole images of the source included.
        region.stop()
        region.start()
        settled.wait_for_notice(region, "open")
        catalog = database.open_catalog(region.settings.catalog.url)
        with catalog.read() as conn:
            assert availability.available(conn).images
        catalog.close()
        assert (region.status()["images"], region.status()["serving"]) == (0, False)


def test_one_that_serves_already_goes_on_serving(
    maas_3_5: maas.MaasDatabase, house: settled.House
) -> None:
    upload(maas_3_5)
    with house.region(None) as region:
        region.wait_for_images(house.images)
    with maas_3_5.session(), house.region(maas_3_5.url()) as region:
        settled.wait_for_notice(region, "failed")
        status = region.status()
        assert (status["images"], status["serving"]) == (house.images, True)
        (notice,) = settled.about_migration(status)
        assert "MAAS is connected" in notice["text"]
        assert "nothing is offered" not in notice["text"]


def test_trouble_is_said_and_clears_when_a_run_succeeds(
    maas_3_5: maas.MaasDatabase, house: settled.House
) -> None:
    upload(maas_3_5)
    maas_3_5.seal()
    with maas_3_5.closed():
        with house.region(maas_3_5.url()) as region:
            settled.wait_for_notice(region, "failed")
            done = command.run("migrate", "--settings", house.file)
            assert done.status == errors.EXIT_FAILED
            assert "cannot be used" in done.err
            assert settled.about_migration(region.status())
    with house.region(maas_3_5.url()) as region:
        region.wait_for_images(house.images + 1)
        assert region.status()["notices"] == []


def test_what_is_told_no_more_is_called_off(
    maas_3_5: maas.MaasDatabase, house: settled.House
) -> None:
    stored = upload(maas_3_5)
    maas_3_5.remove(stored)
    maas_3_5.seal()
    with house.region(maas_3_5.url()) as region:
        settled.wait_for_notice(region, "open")
    with house.region(None) as region:
        region.wait_for_images(house.images)
        assert region.status()["handover"] is None
        refused = command.run("migrate", "--settings", house.file)
        assert (refused.status, "told of no MAAS database" in refused.err) == (1, True)


def test_orders_follow_one_another(maas_3_5: maas.MaasDatabase, house: settled.House) -> None:
    stored = upload(maas_3_5)
    maas_3_5.remove(stored)
    orders = ("--accept-lost", CUSTOM), (), ("--online",)
    with house.region(maas_3_5.url()) as region:
        with futures.ThreadPoolExecutor(3) as pool:
            asked = [
                pool.submit(command.run_apart, "migrate", *words, "--settings", str(house.file))
                for words in orders
            ]
            statuses = [each.result().status for each in asked]
        assert statuses[0] == errors.EXIT_OK
        assert set(statuses[1:]) <= {errors.EXIT_OK, errors.EXIT_FAILED}
        region.wait_for_images(house.images)
        assert settled.about_migration(region.status()) == []


@pytest.mark.parametrize("running", [True, False])
def test_the_check_tells_all_and_changes_nothing(
    any_maas: maas.MaasDatabase, house: settled.House, running: bool
) -> None:
    upload(any_maas)
    broken = upload(any_maas, "broken")
    any_maas.remove(broken)
    any_maas.seal()
    with any_maas.session() as connected, house.region(any_maas.url()) as region:
        settled.wait_for_notice(region, "failed")
        if not running:
            region.stop()
        busy = command.run("migrate", "--check", "--settings", house.file)
        assert (busy.status, "MAAS is connected" in busy.out) == (errors.EXIT_FAILED, True)
        online = command.run("migrate", "--check", "--online", "--settings", house.file, "--json")
        assert (online.status, online.document["ready"]) == (errors.EXIT_FAILED, False)
        assert [each["filename"] for each in online.document["broken"]] == ["root.tgz"]
        (blocker,) = online.document["blockers"]
        assert "1 file would stay open, of custom/amd64/generic/broken" in blocker["text"]
        assert "upload such images to MAAS anew" in blocker["cure"]
        # An operator removes the image there.
        any_maas.execute(
            "DELETE FROM maasserver_bootresourcefile WHERE largefile_id = %s", broken.id
        )
        any_maas.seal()
        any_maas.leave()
        connected.close()
        done = command.run("migrate", "--check", "--settings", house.file, "--json")
        assert done.status == errors.EXIT_OK
        assert done.document["counts"]["uploaded"] == 2
        assert done.document["to_read"] == 5 * 99_999
        said = command.run("migrate", "--check", "--settings", house.file)
        assert "it would fit and work; nothing was changed" in said.out
        assert done.document["query"] in said.out


def test_a_password_is_never_shown(maas_3_5: maas.MaasDatabase, house: settled.House) -> None:
    upload(maas_3_5)
    maas_3_5.seal()
    url = maas_3_5.url().replace("maas@", "maas:hunter2@")
    with house.region(url) as region:
        assert "hunter2" not in repr(region.settings)
        region.wait_for_images(house.images + 1)
        assert "hunter2" not in str(region.status())
    url = url.replace(maas_3_5.name, "nowhere")
    with house.region(url) as region:
        done = command.run("migrate", "--settings", house.file, "--json")
        assert done.status == errors.EXIT_FAILED
        assert "hunter2" not in f"{done.out} {done.err} {region.status()}"


@pytest.mark.parametrize("values", [{}, {"url": "postgresql:///a", "url-file": "/dev/null"}])
def test_one_url_is_needed(values: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match="one of the two"):
        region_settings.Migration.model_validate(values)


def test_the_url_comes_from_its_file_for_each_run(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://maas:one@db/maas\n")
    told = region_settings.Migration.model_validate({"url-file": file})
    assert told.database_url() == "postgresql://maas:one@db/maas"
    file.write_text("postgresql://maas:two@db/maas\n")
    assert told.database_url() == "postgresql://maas:two@db/maas"
    file.unlink()
    with pytest.raises(errors.SettingsError, match="cannot read"):
        told.database_url()

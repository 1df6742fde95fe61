"""A region takes over files of MAAS, and stores that lost their cluster or their mark."""

import json
import os
import shutil
import threading
from concurrent import futures
from pathlib import Path

import pytest

from boot_resources import errors
from boot_resources.region import adoption
from boot_resources.store import identity, intake
from support import cloud, command, real_region, stores

World = real_region.World


@pytest.fixture
def settings_file(own_world: World, tmp_path: Path) -> Path:
    """Give the settings of the world's region as a file, for the command."""
    return written(own_world, tmp_path / "region.toml")


def written(world: World, path: Path) -> Path:
    """Write a region's settings as a file."""
    settings = world.region.settings
    plane = settings.plane
    assert settings.source is not None
    path.write_text(f"""
controller = "region"
name = "{settings.name}"
selections = [{{os = "*", release = "*"}}]
storage = {{path = "{settings.storage.path}", reserve = "1M"}}
catalog = {{url = "{settings.catalog.url}"}}
source = {{url = "{settings.source.url}", keyring = "{world.source.keyring}"}}
metrics = {{port = {settings.metrics.port}}}
control = {{socket = "{settings.control.socket}"}}
[plane]
certificate = "{plane.certificate}"
key = "{plane.key}"
authority = "{plane.authority}"
members = "{plane.members}"
listen = "127.0.0.1"
port = {plane.port}
address = "{plane.address}"
""")
    return path


def storage_of_maas(directory: Path, world: World) -> dict[Path, bytes]:
    """Make an image-storage as MAAS 3.5 leaves it; return all its files.

    One file has its full sha256 as its name, one is spoilt, one cut short, and one not wanted.
    """
    (directory / "bootloaders" / "uefi" / "amd64").mkdir(parents=True)
    (directory / "bootloaders" / "uefi" / "amd64" / "bootx64.efi").write_bytes(b"unpacked")
    names = sorted(world.objects)
    for number, sha256 in enumerate(names):
        content = world.objects[sha256]
        if number == 0:
            content = content[:-1]
        elif number == 1:
            content = bytes([content[0] ^ 1]) + content[1:]
        (directory / (sha256 if number == 2 else sha256[:7])).write_bytes(content)
    (directory / "0123456").write_bytes(b"an image of one's own")
    (directory / "link").symlink_to(directory / names[2])
    os.mkfifo(directory / "pipe")
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def empty_the_store(world: World) -> None:
    """Let the region lose all that it holds, with the source away."""
    world.region.stop()
    shutil.rmtree(world.region.store / "objects")
    world.origin.on_request = cloud.refuse
    world.region.start()
    cloud.wait_until(lambda: world.region.status()["sync"]["passes"] > 0)


def holds_everything(world: World) -> bool:
    objects: int = world.region.status()["storage"]["objects"]
    return objects == len(world.objects)


def test_what_maas_has_is_taken_and_nothing_of_it_is_changed(
    own_world: World, settings_file: Path, tmp_path: Path
) -> None:
    world = own_world
    before = storage_of_maas(tmp_path / "maas", world)
    times = {path: path.stat().st_mtime_ns for path in before}
    empty_the_store(world)
    short, spoilt, *right = sorted(world.objects)
    options = (tmp_path / "maas", "--settings", settings_file)
    done = command.run("store", "adopt", *options, "--json")
    assert done.status == errors.EXIT_DAMAGED
    told = {Path(each["path"]).name: each["outcome"] for each in done.document["files"]}
    assert told == {short[:7]: "wrong", spoilt[:7]: "wrong", "0123456": "unknown"} | {
        "bootx64.efi": "unknown",
        right[0]: "taken",
        **{sha256[:7]: "taken" for sha256 in right[1:]},
    }
    assert world.region.store_names() == set(right)
    assert {path: path.read_bytes() for path in before} == before
    assert {path: path.stat().st_mtime_ns for path in before} == times
    # Once more: all of it is here.
    again = command.run("store", "adopt", *options)
    assert again.status == errors.EXIT_DAMAGED
    assert f"0 files taken, 0 B; {len(right)} were here already" in again.out
    # The sync fetches only what was not right.
    before_it = world.origin.payload_bytes
    world.origin.on_request = None
    world.region.sync()
    wrong = len(world.objects[short]) + len(world.objects[spoilt])
    assert world.origin.payload_bytes - before_it == wrong
    assert holds_everything(world)
    assert world.region.status()["notices"] == []


def test_of_two_orders_to_adopt_at_once_one_is_refused(
    own_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_asked, refused = threading.Barrier(2), threading.Event()
    read, take = adoption.Adoption._wanted, adoption.Adoption._take

    def read_at_once(self: adoption.Adoption) -> dict[str, int]:
        both_asked.wait(cloud.PATIENCE)
        return read(self)

    def take_late(self: adoption.Adoption, taking: intake.Intake) -> list[intake.File]:
        refused.wait(cloud.PATIENCE)
        return take(self, taking)

    def order() -> str:
        try:
            list(own_world.region.local.follow("/store/adopt", directory=str(tmp_path / "mirror")))
        except errors.BootResourcesError as error:
            refused.set()
            return str(error)
        return "done"

    monkeypatch.setattr(adoption.Adoption, "_wanted", read_at_once)
    monkeypatch.setattr(adoption.Adoption, "_take", take_late)
    (tmp_path / "mirror").mkdir()
    with futures.ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(lambda _: order(), range(2)))
    assert said == ["done", "the region is taking objects from a directory already"]


def test_a_sync_makes_way_for_a_taking_and_goes_on_with_what_is_missing(
    own_world: World, settings_file: Path, tmp_path: Path
) -> None:
    world = own_world
    empty_the_store(world)
    before = world.origin.payload_bytes
    world.origin.on_request = None
    world.origin.rate = 20_000
    (tmp_path / "mirror" / "deep").mkdir(parents=True)
    others = sorted(world.objects)[1:]
    for number, sha256 in enumerate(others):
        (tmp_path / "mirror" / "deep" / f"file {number}").write_bytes(world.objects[sha256])
    with futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(world.region.sync)
        cloud.wait_until(lambda: world.region.status()["sync"]["done"])
        done = command.run(
            "store", "adopt", tmp_path / "mirror", "--settings", settings_file, "--json"
        )
        world.origin.rate = None
        ended = asked.result()
    assert done.status == 0
    counts = done.document["counts"]
    assert counts["taken"] > 0
    assert counts["taken"] + counts["held"] == len(others)
    # Whoever waited for the sync hears of the one that was done.
    assert ended["last_error"] == ""
    assert holds_everything(world)
    whole = sum(len(content) for content in world.objects.values())
    assert world.origin.payload_bytes - before < whole


@pytest.mark.parametrize("place", ["storage", "storage/objects", "nowhere", "catalog.db"])
def test_what_is_no_directory_of_others_is_refused(
    world: World, place: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = written(world, tmp_path_factory.mktemp("settings") / "region.toml")
    directory = world.region.store.parent / place
    done = command.run("store", "adopt", directory, "--settings", file, "--json")
    assert done.status == errors.EXIT_FAILED
    assert done.document["cure"]
    assert world.region.status()["notices"] == []


def lose_the_catalog(world: World) -> None:
    for file in world.region.store.parent.glob("catalog.db*"):
        file.unlink()


def refusal(world: World) -> identity.ForeignDirectory:
    before = everything_in(world.region.store)
    with pytest.raises(identity.ForeignDirectory) as caught:
        world.region.run()
    assert everything_in(world.region.store) == before
    assert "boot-resources store adopt" in caught.value.cure
    return caught.value


def everything_in(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


def test_a_store_whose_catalog_was_lost_is_taken_over_and_fetches_nothing(
    own_world: World, settings_file: Path
) -> None:
    world = own_world
    region = world.region
    running = command.run("store", "adopt", "--yes", "--settings", settings_file)
    assert (running.status, "another controller is running" in running.err) == (1, True)
    region.stop()
    lose_the_catalog(world)
    rotten = sorted(world.objects)[0]
    path = region.store / "objects" / rotten
    # What the former owner wrote down does not count, not even where it fits.
    found = path.stat()
    stores.damage(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert "is new and empty" in str(refusal(world))
    before = world.origin.payload_bytes
    unsure = command.run("store", "adopt", "--settings", settings_file, "--json")
    assert (unsure.status, "--yes" in unsure.out) == (errors.EXIT_USAGE, True)
    assert command.run_apart("store", "adopt", "--settings", settings_file).status == 2
    refusal(world)
    done = command.run("store", "adopt", "--yes", "--settings", settings_file)
    assert done.status == errors.EXIT_DAMAGED
    assert f"{len(world.objects) - 1} sound objects, 1 set aside" in done.out
    again = command.run("store", "adopt", "--yes", "--settings", settings_file, "--json")
    assert (again.status, again.document["changed"]) == (0, False)
    region.start()
    region.sync()
    assert holds_everything(world)
    assert world.origin.payload_bytes - before == len(world.objects[rotten])
    assert json.loads((region.store / "store.json.before").read_text())["owner"]


def test_a_store_that_lost_its_mark_is_refused_and_can_be_taken_over(
    own_world: World, settings_file: Path
) -> None:
    region = own_world.region
    region.stop()
    for mark in (None, "", '{"format": 1}'):
        (region.store / "store.json").unlink()
        if mark is not None:
            (region.store / "store.json").write_text(mark)
        refusal(own_world)
        done = command.run("store", "adopt", "--yes", "--settings", settings_file, "--json")
        assert (done.status, done.document["before"]) == (0, None)
        assert done.document["sound"] == len(own_world.objects)
    own_world.origin.on_request = cloud.refuse
    region.start()
    assert holds_everything(own_world)


def test_what_an_empty_catalog_does_not_want_comes_back_without_a_fetch(
    own_world: World, settings_file: Path
) -> None:
    world = own_world
    region = world.region
    region.stop()
    lose_the_catalog(world)
    assert command.run("store", "adopt", "--yes", "--settings", settings_file).status == 0
    world.origin.on_request = cloud.refuse
    before = world.origin.payload_bytes
    region.start()
    unknown = region.store / "unknown"
    cloud.wait_until(lambda: {path.name for path in unknown.iterdir()} == set(world.objects))
    world.origin.on_request = None
    ended = region.sync()
    assert ended["brought"]["restored"] == len(world.objects)
    assert holds_everything(world)
    assert world.origin.payload_bytes == before


def test_a_store_whose_catalog_is_of_before_keeps_what_that_does_not_know(
    own_world: World, tmp_path: Path
) -> None:
    world = own_world
    region = world.region
    region.stop()
    shutil.copytree(
        tmp_path, tmp_path / "backup", ignore=shutil.ignore_patterns("backup", "*.sock")
    )
    region.start()
    world.publish()
    region.sync()
    newer = region.store_names()
    region.stop()
    lose_the_catalog(world)
    for file in (tmp_path / "backup").glob("catalog.db*"):
        shutil.copy(file, tmp_path)
    world.origin.on_request = cloud.refuse
    region.start()
    cloud.wait_until(lambda: region.status()["sync"]["passes"] > 0)
    assert region.store_names() == set(world.objects)
    with world.member() as member:
        for sha256, content in world.objects.items():
            assert member.get(f"/v1/objects/{sha256}").body == content
    before = world.origin.payload_bytes
    world.origin.on_request = None
    assert region.sync()["brought"]["restored"] == len(newer - set(world.objects))
    assert world.origin.payload_bytes == before
    assert region.store_names() >= newer


@pytest.mark.parametrize("garbage", [b"no database" * 500, None])
def test_with_a_spoilt_catalog_file_the_region_serves_what_it_has_and_says_the_cure(
    own_world: World, garbage: bytes | None
) -> None:
    world = own_world
    region = world.region
    region.stop()
    lose_the_catalog(world)
    path = region.store.parent / "catalog.db"
    if garbage is None:
        path.mkdir()
    else:
        path.write_bytes(garbage)
    region.start()
    with world.member() as member:
        assert len(cloud.document(member.get("/v1/images"))["images"]) > 0
        for sha256, content in world.objects.items():
            assert member.get(f"/v1/objects/{sha256}").body == content
    cloud.wait_until(lambda: region.status()["notices"])
    (notice,) = [each for each in region.status()["notices"] if each["severity"] == "critical"]
    assert "what is available goes on being served" in notice["text"]
    assert notice["cure"]


def test_beside_and_within_an_image_storage_of_maas_nothing_of_it_is_touched(
    own_world: World, tmp_path: Path
) -> None:
    world = own_world
    world.region.stop()
    maas = tmp_path / "maas" / "image-storage"
    before = storage_of_maas(maas, world)
    within = [maas, maas / "ours", maas / "deep" / "ours"]
    for place in within:
        storage = world.region.settings.storage.model_copy(update={"path": place})
        settings = world.region.settings.model_copy(update={"storage": storage})
        with pytest.raises(identity.ForeignDirectory, match=r"MAAS|has content") as caught:
            real_region.RealRegion(settings).run()
        assert "MAAS" in f"{caught.value} {caught.value.cure}"
        assert {path: path.read_bytes() for path in maas.rglob("*") if path.is_file()} == before
        assert not (maas / "ours").exists()
    beside = world.region.settings.storage.model_copy(update={"path": maas.parent / "ours"})
    settings = world.region.settings.model_copy(update={"storage": beside})
    lose_the_catalog(world)
    region = real_region.RealRegion(settings)
    region.start()
    region.wait_for_images(1)
    region.stop()
    assert {path: path.read_bytes() for path in maas.rglob("*") if path.is_file()} == before


def test_things_of_others_stay_in_a_store_that_is_taken_over(
    own_world: World, settings_file: Path, tmp_path: Path
) -> None:
    store = own_world.region.store
    own_world.region.stop()
    lose_the_catalog(own_world)
    (store / "lost+found").mkdir()
    (store / "mine").mkdir()
    others = [store / "mine" / "notes", store / ".hidden", store / "objects" / "notes"]
    others.append(store / "removed" / "notes")
    for path in others:
        path.write_text("mine")
    (store / "objects" / ("f" * 64)).symlink_to(tmp_path)
    assert command.run("store", "adopt", "--yes", "--settings", settings_file).status == 0
    own_world.region.start()
    own_world.region.sync()
    for path in others:
        assert path.read_text() == "mine"
    assert (store / "lost+found").is_dir()
    assert (store / "objects" / ("f" * 64)).is_symlink()


def test_a_store_whose_directory_of_objects_is_a_link_is_refused(
    own_world: World, tmp_path: Path
) -> None:
    region = own_world.region
    region.stop()
    (region.store / "objects").rename(tmp_path / "elsewhere")
    (region.store / "objects").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(identity.ForeignDirectory, match="is a symbolic link") as caught:
        region.run()
    assert "objects" in str(caught.value)
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == set(own_world.objects)

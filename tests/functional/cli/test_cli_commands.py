"""Every command against a running region and rack: what it says, and how it ends."""

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

import pytest

from boot_resources.demo import payloads, signed_source
from support import cloud, command, desks

Desk = desks.Desk
IMAGE = "ubuntu/amd64/ga-24.04/noble/stable/20250718"
QUESTIONS = [
    ("status",),
    ("images", "list"),
    ("images", "show", IMAGE),
    ("sources", "show"),
    ("sources", "check"),
    ("selections", "list"),
    ("sync",),
    ("sync", "--no-wait"),
    ("verify",),
]
RACK_QUESTIONS = [("status",), ("cache", "status"), ("cache", "drop", "--all")]
REFUSALS = [
    (("images", "show", IMAGE + "0"), 1),
    (("images", "show", "nonsense"), 2),
    (("images", "remove", IMAGE), 1),
    (("sources", "set", "http://127.0.0.1:9/", "--allow-unsigned"), 1),
    (("sources", "set", "http://127.0.0.1:9/"), 2),
    (("selections", "add", "ubuntu", "noble"), 1),
    (("selections", "remove", "*", "*"), 1),
    (("cache", "status"), 2),
    (("cache", "drop"), 2),
    (("images",), 2),
    (("images", "list", "--no-such-option"), 2),
    (("images", "show"), 2),
]


def boot(desk: Desk) -> bytes:
    """Let a machine fetch a kernel, so that the rack has something to tell."""
    return cloud.get(desk.rack, f"/images/{IMAGE}/boot-kernel").body


@pytest.mark.parametrize("words", QUESTIONS)
def test_a_region_answers_in_plain_lines_and_in_json(desk: Desk, words: tuple[str, ...]) -> None:
    plain = command.run(*words, "--settings", desk.region_file)
    assert (plain.status, "\x1b" in plain.out + plain.err) == (0, False)
    assert plain.out.endswith("\n")
    spoken = command.run(*words, "--settings", desk.region_file, "--json")
    assert (spoken.status, spoken.err) == (0, "")
    assert spoken.document


@pytest.mark.parametrize("words", RACK_QUESTIONS)
def test_a_rack_answers_in_plain_lines_and_in_json(desk: Desk, words: tuple[str, ...]) -> None:
    boot(desk)
    plain = command.run(*words, "--settings", desk.rack_file)
    assert (plain.status, plain.err, "\x1b" in plain.out) == (0, "", False)
    spoken = command.run(*words, "--settings", desk.rack_file, "--json")
    assert (spoken.status, spoken.err) == (0, "")
    assert spoken.document


@pytest.mark.parametrize(("words", "status"), REFUSALS)
def test_a_refusal_says_why_and_what_to_do(
    desk: Desk, words: tuple[str, ...], status: int
) -> None:
    options = () if words == ("images",) else ("--settings", desk.region_file)
    plain = command.run(*words, *options)
    assert (plain.status, plain.out) == (status, "")
    assert plain.err.strip()
    assert "Traceback" not in plain.err
    spoken = command.run(*words, *options, "--json")
    assert (spoken.status, spoken.err) == (status, "")
    assert set(spoken.document) == {"error", "cure"}
    assert spoken.document["error"]


def test_the_images_are_those_of_the_source(desk: Desk) -> None:
    listed = command.run("images", "list", "--settings", desk.region_file, "--json").document
    offered = {
        f"{t.os}/{t.arch}/{t.subarch}/{t.release}/{t.label}/{t.version}"
        for t in desk.world.source.truth
    }
    assert {image["name"] for image in listed["images"]} == offered
    assert {image["state"] for image in listed["images"]} == {"available"}
    lines = command.run("images", "list", "--settings", desk.region_file).out.splitlines()
    assert {line.split("\t")[0] for line in lines[1:]} == offered


def test_an_image_is_shown_with_its_files_and_who_holds_them(desk: Desk) -> None:
    shown = command.run("images", "show", IMAGE, "--settings", desk.region_file, "--json").document
    truth = {t.filename: t for t in desk.world.source.truth if t.subarch == "ga-24.04"}
    assert {item["filename"] for item in shown["items"]} == set(truth)
    for item in shown["items"]:
        assert item["sha256"] == truth[item["filename"]].sha256
        assert item["held_by"] == ["region-0"]


def test_no_secret_is_shown(desk: Desk) -> None:
    for words in (("status",), ("sources", "show"), ("sources", "check")):
        said = command.run(*words, "--settings", desk.region_file, "--json").out
        assert "PRIVATE" not in said
        assert "keyring" not in said


def test_what_the_cache_holds_is_told_with_a_name(desk: Desk) -> None:
    kernel = boot(desk)
    desk.rack.wait_until_whole(kernel)
    told = command.run("cache", "status", "--settings", desk.rack_file, "--json").document
    (entry,) = [e for e in told["contents"] if e["sha256"] == cloud.name_of(kernel)]
    assert entry["name"].endswith("/boot-kernel")
    sha256 = cloud.name_of(kernel)
    dropped = command.run("cache", "drop", sha256[:9], "--settings", desk.rack_file)
    assert dropped.out == "objects dropped: 1, in use: 0\n"
    assert not desk.rack.holds(kernel)


def test_the_settings_file_can_come_from_the_environment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOT_RESOURCES_SETTINGS", str(desk.rack_file))
    assert command.run("status", "--json").document[0]["controller"] == "rack"


def test_a_controller_that_does_not_run_is_a_3(tmp_path: Path) -> None:
    file = tmp_path / "region.toml"
    file.write_text(f'controller = "region"\n[control]\nsocket = "{tmp_path}/none.sock"\n')
    for words in (*QUESTIONS, ("images", "remove", IMAGE), ("selections", "add", "a", "b")):
        done = command.run(*words, "--settings", file)
        assert (done.status, done.out) == (3, "")
        assert "boot-resources region run" in done.err
        spoken = command.run(*words, "--settings", file, "--json")
        # A status is a list, one entry for each controller of this host.
        (said,) = spoken.document if words == ("status",) else [spoken.document]
        assert (spoken.status, set(said)) == (3, {"error", "cure"})


def test_verify_finds_a_flipped_bit_and_the_sync_mends_it(own_desk: Desk) -> None:
    world = own_desk.world
    sha256, content = max(world.objects.items(), key=lambda each: len(each[1]))
    path = world.region.store / "objects" / sha256
    flip_unseen(path)
    found = command.run("verify", "--settings", own_desk.region_file, "--json")
    assert found.status == 4
    assert [each["sha256"] for each in found.document["findings"]] == [sha256]
    assert found.document["sound"] == len(world.objects) - 1
    assert (world.region.store / "damaged" / sha256).exists()
    assert command.run("sync", "--settings", own_desk.region_file).status == 0
    assert path.read_bytes() == content
    assert command.run("verify", "--settings", own_desk.region_file).status == 0


def test_verify_names_what_it_found_in_plain_words(own_desk: Desk) -> None:
    sha256, _ = max(own_desk.world.objects.items(), key=lambda each: len(each[1]))
    flip_unseen(own_desk.world.region.store / "objects" / sha256)
    # Otherwise it is mended before anybody has looked.
    own_desk.world.origin.on_request = cloud.refuse
    found = command.run("verify", "--settings", own_desk.region_file)
    assert found.status == 4
    assert f"{sha256}  corrupt" in found.out
    status = command.run("status", "--settings", own_desk.region_file)
    assert "nothing is wrong" not in status.out
    assert sha256[:12] in status.out


def test_what_verify_finds_counts_even_if_nobody_waits_for_it(own_desk: Desk) -> None:
    world = own_desk.world
    sha256, content = max(world.objects.items(), key=lambda each: len(each[1]))
    path = world.region.store / "objects" / sha256
    flip_unseen(path)
    world.origin.on_request = cloud.refuse
    watching = cast("Generator[dict[str, Any], None, None]", world.region.local.follow("/verify"))
    next(watching)
    watching.close()
    cloud.wait_until(lambda: (world.region.store / "damaged" / sha256).exists())
    cloud.wait_until(
        lambda: any(sha256[:12] in each["text"] for each in world.region.status()["notices"])
    )
    world.origin.on_request = None
    world.region.sync()
    assert path.read_bytes() == content
    assert world.region.status()["notices"] == []


def flip_unseen(path: Path) -> None:
    """Flip a bit, and leave size, time and inode as they were."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 4]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_sync_that_cannot_read_the_source_fails(own_desk: Desk) -> None:
    own_desk.world.origin.on_request = cloud.refuse
    done = command.run("sync", "--settings", own_desk.region_file)
    assert done.status == 1
    assert "answers 404" in done.out
    assert command.run("sync", "--settings", own_desk.region_file, "--json").status == 1
    checked = command.run("sources", "check", "--settings", own_desk.region_file)
    assert checked.status == 4
    assert "answers 404" in checked.out
    own_desk.world.origin.on_request = None
    assert command.run("sync", "--settings", own_desk.region_file).status == 0


def test_what_is_unknown_in_the_source_is_listed(own_desk: Desk) -> None:
    source = own_desk.world.source
    carpet = source.add_payload("carpet/flying-carpet", payloads.Payload("carpet", 99))
    source.add_product(
        signed_source.UBUNTU,
        "com.example.maas.stable:v3:boot:99.04:amd64:carpet",
        {"os": "ubuntu", "arch": "amd64", "release": "carpet", "label": "stable"},
        "20250801",
        {"carpet": ("flying-carpet", carpet)},
    )
    own_desk.world.publish()
    checked = command.run("sources", "check", "--settings", own_desk.region_file)
    assert checked.status == 0
    assert "flying-carpet" in checked.out
    spoken = command.run("sources", "check", "--settings", own_desk.region_file, "--json")
    assert any("flying-carpet" in each["text"] for each in spoken.document["problems"])


def test_a_superseded_image_can_be_removed(own_desk: Desk) -> None:
    own_desk.world.publish()
    command.run("sync", "--settings", own_desk.region_file)
    told = command.run("images", "remove", IMAGE, "--settings", own_desk.region_file)
    assert told.status == 0
    assert told.out.startswith(f"removed {IMAGE}")
    gone = command.run("images", "show", IMAGE, "--settings", own_desk.region_file)
    assert gone.status == 1


def test_the_password_of_a_source_is_given_on_standard_input(free_desk: Desk) -> None:
    world = free_desk.world
    url = world.origin.url.replace("://", "://reader:secret-word@")
    options = ("--keyring", world.source.keyring, "--settings", free_desk.region_file)
    refused = command.run("sources", "set", url, *options)
    assert refused.status == 2
    assert "sources set -" in refused.err
    assert "secret-word" not in refused.err
    told = command.run("sources", "set", "-", *options, given=f"{url}\n")
    assert (told.status, told.out) == (0, "the boot source is set\n")
    shown = command.run("sources", "show", "--settings", free_desk.region_file, "--json")
    assert shown.document["source"]["url"] == world.origin.url
    assert command.run("sync", "--settings", free_desk.region_file).status == 0


def test_a_new_region_is_told_everything_by_command(free_desk: Desk) -> None:
    world, settings = free_desk.world, ("--settings", free_desk.region_file)
    assert "there is no boot source" in command.run("sources", "show", *settings).out
    assert command.run("sources", "check", *settings).status == 1
    keyring = ("--keyring", world.source.keyring)
    told = command.run("sources", "set", world.origin.url, *keyring, *settings)
    assert (told.status, told.out) == (0, "the boot source is set\n")
    again = command.run("sources", "set", world.origin.url, *keyring, *settings)
    assert again.out == "it was set so already\n"
    assert command.run("sync", *settings).status == 0
    assert releases(free_desk) == {"pxe", "uefi", "open-firmware"}
    added = command.run("selections", "add", "ubuntu", "jammy", "--arch", "amd64", *settings)
    assert (added.status, added.out) == (0, "selected\n")
    assert command.run("sync", *settings).status == 0
    assert releases(free_desk) == {"pxe", "uefi", "open-firmware", "jammy"}
    listed = command.run("selections", "list", *settings, "--json").document
    assert listed["selections"] == [
        {"os": "ubuntu", "release": "jammy", "arches": ["amd64"], "subarches": [], "labels": []}
    ]
    removed = command.run("selections", "remove", "ubuntu", "jammy", *settings)
    assert removed.out == "selections removed: 1\n"
    assert command.run("sync", *settings).status == 0


def releases(desk: Desk) -> set[str]:
    listed = command.run("images", "list", "--settings", desk.region_file, "--json").document
    return {image["name"].split("/")[3] for image in listed["images"]}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b"no key at all"), "holds no OpenPGP public key"),
        (lambda path: path.write_bytes(b""), "keyring"),
        (lambda path: path.write_bytes(bytes(3 * 1024 * 1024)), "holds no OpenPGP public key"),
    ],
)
def test_a_keyring_that_is_none_is_refused_by_the_region(
    free_desk: Desk, tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    ring = tmp_path / "ring.gpg"
    make(ring)
    done = command.run(
        "sources",
        "set",
        "http://127.0.0.1:9/",
        "--keyring",
        ring,
        "--settings",
        free_desk.region_file,
    )
    assert done.status in (1, 2)
    assert said in done.err
    shown = command.run("sources", "show", "--settings", free_desk.region_file)
    assert "there is no boot source" in shown.out


def test_an_unsigned_source_is_called_so_in_every_status(free_desk: Desk) -> None:
    settings = ("--settings", free_desk.region_file)
    url = free_desk.world.origin.url
    assert command.run("sources", "set", url, "--allow-unsigned", *settings).status == 0
    command.run("sync", *settings)
    assert "UNSIGNED" in command.run("status", *settings).out
    assert "no: unsigned documents are accepted" in command.run("sources", "show", *settings).out
    cloud.wait_until(lambda: "without signatures" in command.run("status", *settings).out)

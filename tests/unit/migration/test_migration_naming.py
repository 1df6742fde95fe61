"""How MAAS's images are called here: synced ones as in the stream, uploads by their own."""

import dataclasses

import pytest

from boot_resources.migration import contents, inventory, naming, readers, schema

RESOURCE = inventory.Resource(
    1, inventory.SYNCED, "ubuntu/noble", "amd64/ga-24.04", "generic", None, "", False, {}
)
SET = inventory.ResourceSet(1, 1, "20240501", "stable")
ACCESS = readers.Access("maas", False, (), 2048)
UPLOAD = dataclasses.replace(
    RESOURCE, rtype=inventory.UPLOADED, name="forge", architecture="amd64/generic", kflavor=None
)


def file(number: int, filename: str, filetype: str = "", **said: object) -> inventory.File:
    values = {"extra": {}, "largefile_id": number, "sha256": "", "size": 0} | said
    return inventory.File(number, 1, filename, filetype or filename, **values)  # type: ignore[arg-type]


def large(number: int, size: int = 5) -> inventory.LargeFile:
    return inventory.LargeFile(number, f"{number:064x}", 1000 + number, size, size)


def looked(
    *files: inventory.File,
    resources: tuple[inventory.Resource, ...] = (RESOURCE,),
    sets: tuple[inventory.ResourceSet, ...] = (SET,),
    titles: tuple[inventory.Title, ...] = (),
) -> inventory.Inventory:
    largefiles = tuple(large(each.id) for each in files)
    return inventory.Inventory(
        "maasdb",
        schema.Generation.V3_4,
        ACCESS,
        resources,
        sets,
        files,
        largefiles,
        titles,
        {each.oid: readers.LargeObject(each.oid, each.total_size) for each in largefiles},
        (),
    )


def migrants(found: inventory.Inventory) -> tuple[naming.Migrant, ...]:
    return naming.migrants(found, contents.classify(found))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "ubuntu/amd64/ga-24.04/noble/stable/20240501"),
        ({"kflavor": "lowlatency"}, "ubuntu/amd64/ga-24.04-lowlatency/noble/stable/20240501"),
        (
            {"kflavor": "lowlatency", "architecture": "amd64/ga-24.04-lowlatency"},
            "ubuntu/amd64/ga-24.04-lowlatency/noble/stable/20240501",
        ),
        (
            {"name": "grub-efi-signed/uefi", "architecture": "amd64/generic"},
            "grub-efi-signed/amd64/generic/uefi/stable/20240501",
        ),
        (
            {"rtype": inventory.UPLOADED, "name": "forge"},
            "custom/amd64/ga-24.04/forge/uploaded/20240501",
        ),
        (
            {"rtype": inventory.GENERATED, "name": "custom/forge"},
            "custom/amd64/ga-24.04/forge/uploaded/20240501",
        ),
        (
            {"rtype": inventory.UPLOADED, "name": "windows/win2022"},
            "windows/amd64/ga-24.04/win2022/uploaded/20240501",
        ),
        (
            {"rtype": inventory.UPLOADED, "name": "../../my disk/ü"},
            "0../amd64/ga-24.04/0..-my-disk-/uploaded/20240501",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_names(changed: dict[str, object], expected: str) -> None:
    resource = dataclasses.replace(RESOURCE, **changed)  # type: ignore[arg-type]
    assert str(naming.image_name(resource, SET)) == expected


def test_an_image_has_its_files_as_the_stream_names_them() -> None:
    extra = {"kpackage": "linux-generic"}
    (found,) = migrants(looked(file(1, "squashfs"), file(2, "boot-kernel", extra=extra)))
    assert [(i.filename, i.ftype, i.sha256, i.size, i.extra) for i in found.image.items] == [
        ("squashfs", "squashfs", f"{1:064x}", 5, {}),
        ("boot-kernel", "boot-kernel", f"{2:064x}", 5, extra),
    ]
    assert found.flaws == ()


@pytest.mark.parametrize("before", ["root-tgz", "root.tgz"], ids=["3.4", "3.5"])
def test_an_uploaded_tarball_is_called_the_same_from_either_maas(before: str) -> None:
    (found,) = migrants(looked(file(1, before, "root-tgz"), resources=(UPLOAD,)))
    assert [item.filename for item in found.image.items] == ["root.tgz"]


def test_a_synced_tarball_keeps_the_streams_name() -> None:
    (found,) = migrants(looked(file(1, "root-tgz")))
    assert [item.filename for item in found.image.items] == ["root-tgz"]


def test_titles_come_from_the_resource_or_from_the_stream() -> None:
    title = inventory.Title("ubuntu", "amd64", "ga-24.04", "noble", "stable", "24.04 LTS")
    (of_stream,) = migrants(looked(file(1, "squashfs"), titles=(title,)))
    assert of_stream.image.title == "24.04 LTS"
    own = dataclasses.replace(UPLOAD, extra={"title": "The forge", "subarches": "generic"})
    (uploaded,) = migrants(looked(file(1, "root-dd"), resources=(own,)))
    assert uploaded.image.title == "The forge"
    assert uploaded.image.extra == {"subarches": "generic"}
    (bare,) = migrants(looked(file(1, "root-dd"), resources=(UPLOAD,)))
    assert bare.image.title == "forge"


def test_what_maas_says_beside_the_names_comes_along() -> None:
    said = dataclasses.replace(
        UPLOAD, base_image="ubuntu/jammy", kflavor="hwe", rolling=True, extra={"platform": "x"}
    )
    (found,) = migrants(looked(file(1, "root-dd"), resources=(said,)))
    assert found.image.extra == {
        "platform": "x",
        "kflavor": "hwe",
        "base_image": "ubuntu/jammy",
        "rolling": True,
    }


def test_files_that_nobody_serves_make_no_image() -> None:
    found = looked(file(1, "bootx64.efi", "bootloader"))
    assert migrants(found) == ()
    assert [each.id for each in contents.classify(found).leftovers] == [1]


def test_two_images_that_would_share_a_name_are_never_mixed() -> None:
    other = dataclasses.replace(UPLOAD, id=2, name="my disk")
    first = dataclasses.replace(UPLOAD, name="my-disk")
    sets = (SET, inventory.ResourceSet(2, 2, "20240501", "uploaded"))
    files = (file(1, "root-dd"), dataclasses.replace(file(2, "root-dd"), set_id=2))
    one, two = migrants(looked(*files, resources=(first, other), sets=sets))
    assert one.image.name == two.image.name
    assert one.flaws == ()
    assert [flaw.reason for flaw in two.flaws] == ["another image of MAAS's has this name here"]


def test_a_row_without_a_sha256_is_a_flaw() -> None:
    nameless = file(1, "squashfs", largefile_id=None, sha256="", size=0)
    found = dataclasses.replace(looked(nameless), largefiles=())
    (migrant,) = migrants(found)
    assert [flaw.reason for flaw in migrant.flaws] == ["MAAS recorded no sha256 of it"]


def test_bytes_that_lie_in_the_database_once_count_for_all_their_files() -> None:
    moved = file(2, "boot-kernel", largefile_id=None, sha256=f"{1:064x}", size=5)
    found = looked(file(1, "squashfs"), moved)
    assert [each.state for each in contents.classify(found).of_file.values()] == [
        contents.State.WHOLE,
        contents.State.WHOLE,
    ]
    (migrant,) = migrants(found)
    assert migrant.flaws == ()


def test_two_files_that_would_have_one_name_make_their_image_flawed() -> None:
    upload = dataclasses.replace(SET, label="uploaded")
    both = (file(1, "a b.tgz", "root-tgz"), file(2, "a-b.tgz", "root-tgz"), file(3, "c.tgz"))
    (found,) = migrants(looked(*both, resources=(UPLOAD,), sets=(upload,)))
    (flaw,) = found.flaws
    assert flaw.filename == "", "it is the image's, so no proof of a file takes it away"
    assert flaw.reason == "its files 'a b.tgz', 'a-b.tgz' have one name here: a-b.tgz"

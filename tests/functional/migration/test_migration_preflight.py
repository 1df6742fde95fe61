"""What is known before the first byte: what is there, what is wrong, what is in the way."""

import os
import pathlib

import pytest

from boot_resources import units
from boot_resources.migration import database, preflight, readers, schema
from boot_resources.store import space
from support import maas, stores


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give the directory of a store that is not there yet."""
    return tmp_path / "image-storage"


def check(
    found: maas.MaasDatabase,
    root: pathlib.Path,
    role: str = maas.MAAS,
    held: frozenset[str] = frozenset(),
    reserve: int = 0,
    *,
    online: bool = False,
) -> preflight.Check:
    found.seal()
    url = database.Database(found.url(role))
    return preflight.check(url, root, reserve, held, online=online)


def fill(found: maas.MaasDatabase) -> dict[str, maas.Stored]:
    """Put one of everything into a MAAS database; return its large files by what they are."""
    squashfs, kernel = stores.noise(2 * units.MIB, 1), stores.noise(5000, 2)
    made = {"squashfs": found.store(squashfs), "kernel": found.store(kernel)}
    for subarch in ("ga-24.04", "hwe-24.04"):
        of_set = found.version(found.resource("ubuntu/noble", f"amd64/{subarch}"), "20240501")
        found.file(of_set, "squashfs", made["squashfs"])
        found.file(of_set, "boot-kernel", made["kernel"])
    other = found.version(found.resource("ubuntu/jammy", "amd64/ga-22.04"), "20240501")
    made["partial"] = found.store(b"half", says=b"half of it", written=4)
    made["missing"] = found.store(b"it goes away")
    made["short"] = found.store(b"short", says=b"shorter")
    made["long"] = found.store(b"longer", says=b"long")
    for name in ("partial", "missing", "short", "long"):
        found.file(other, name, made[name], "squashfs")
    found.remove(made["missing"])
    loader = found.version(found.resource("grub-efi/uefi", bootloader_type="uefi"), "1")
    made["leftover"] = found.store(b"an old bootloader")
    found.file(loader, "bootx64.efi", made["leftover"], "bootloader")
    disk = found.version(found.resource("forge", rtype=maas.GENERATED), "1", "uploaded")
    made["disk"] = found.store(b"a disk")
    found.file(disk, "root-dd", made["disk"])
    made["unused"] = found.store(b"no file names it")
    found.large_object(b"an orphan of 22 bytes")
    return made


def test_everything_is_counted(any_maas: maas.MaasDatabase, root: pathlib.Path) -> None:
    made = fill(any_maas)
    found = check(any_maas, root)
    assert found.counts == preflight.Counts(
        synced=4,
        uploaded=1,
        files=9,
        distinct=7,
        shared=2,
        leftovers=1,
        unused=1,
        orphans=1,
        orphan_bytes=len(b"an orphan of 22 bytes"),
        twins=0,
    )
    assert found.to_read == sum(made[name].size for name in ("squashfs", "kernel", "disk"))
    assert found.ready, "what is broken is set aside and stops nothing"


def test_what_is_broken_is_named_with_the_reason(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    made = fill(any_maas)
    found = check(any_maas, root)
    assert {image for image, _ in found.broken} == {"ubuntu/amd64/ga-22.04/jammy/stable/20240501"}
    assert {flaw.filename: flaw.reason for _, flaw in found.broken} == {
        "partial": "MAAS had written 4 of its 10 bytes",
        "missing": f"its large object {made['missing'].oid} is not in the database",
        "short": f"its large object {made['short'].oid} has 5 bytes, not 7",
        "long": f"its large object {made['long'].oid} has 6 bytes, not 4",
    }


def test_both_readers_see_the_same(any_maas: maas.MaasDatabase, root: pathlib.Path) -> None:
    fill(any_maas)
    by_lo, by_copy = (check(any_maas, root, role) for role in (maas.MAAS, maas.READER))
    assert (by_lo.way, by_copy.way) == (readers.Way.LO, readers.Way.COPY)
    assert (by_lo.counts, by_lo.broken) == (by_copy.counts, by_copy.broken)


def test_copy_is_the_way_where_it_is_open_and_granted_where_not(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    fill(any_maas)
    assert check(any_maas, root, maas.READER).grant == ""
    grant = check(any_maas, root).grant
    assert grant == f'GRANT SELECT ON pg_catalog.pg_largeobject TO "{maas.MAAS}";'
    any_maas.execute(grant, role="postgres")
    assert check(any_maas, root).way is readers.Way.COPY


def test_who_may_read_no_large_object_learns_what_to_grant(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    fill(any_maas)
    found = check(any_maas, root, maas.PUPIL)
    assert found.way is None
    (blocker,) = found.blockers
    assert f"may not read the large objects of '{maas.MAAS}'" in blocker.text
    grant = blocker.cure.removeprefix("as superuser: ").partition(" (")[0]
    any_maas.execute(grant, role="postgres")
    assert check(any_maas, root, maas.PUPIL).ready


def test_large_objects_of_others_that_maas_does_not_name_stand_in_nobodys_way(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    any_maas.execute("SELECT lo_from_bytea(0, 'somebody else''s')", role="postgres")
    found = check(any_maas, root)
    assert (found.way, found.ready) == (readers.Way.LO, True)
    assert (found.counts.orphans, found.counts.orphan_bytes) == (1, 0)


def test_large_objects_with_rights_of_their_own_can_be_read(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    stored = any_maas.store(b"for the pupil, too")
    of_set = any_maas.version(any_maas.resource("forge", rtype=maas.UPLOADED), "1", "uploaded")
    any_maas.file(of_set, "root-dd", stored)
    any_maas.execute(f"GRANT SELECT ON LARGE OBJECT {stored.oid} TO {maas.PUPIL}")
    found = check(any_maas, root, maas.PUPIL)
    assert (found.way, found.ready, found.to_read) == (readers.Way.LO, True, stored.size)


def test_room_is_for_what_is_missing_and_for_the_reserve(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    made = fill(any_maas)
    names = ("squashfs", "kernel", "disk")
    found = check(any_maas, root)
    assert found.room.needed == sum(space.on_disk(made[name].size) for name in names)
    less = check(any_maas, root, held=frozenset([made["squashfs"].sha256]))
    assert less.to_read == made["kernel"].size + made["disk"].size
    assert found.room.needed - less.room.needed == space.on_disk(made["squashfs"].size)
    everything = os.statvfs(root.parent).f_bavail * os.statvfs(root.parent).f_frsize
    tight = check(any_maas, root, reserve=everything)
    assert "not enough disk space" in tight.blockers[0].text
    assert not tight.ready


def test_what_lies_there_half_has_its_room_already(
    maas_3_5: maas.MaasDatabase, root: pathlib.Path
) -> None:
    made = fill(maas_3_5)
    before = check(maas_3_5, root).room.needed
    stores.tree_at(root).begin(made["squashfs"].sha256, made["squashfs"].size).close()
    assert check(maas_3_5, root).room.needed <= before - made["squashfs"].size


def test_a_check_leaves_no_trace(any_maas: maas.MaasDatabase, root: pathlib.Path) -> None:
    fill(any_maas)
    assert check(any_maas, root).ready
    assert not root.exists()


def test_maas_on_its_database_stands_in_the_way(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    fill(any_maas)
    with any_maas.session() as conn:
        conn.execute("SELECT 1")
        for role in (maas.MAAS, maas.READER):
            found = check(any_maas, root, role)
            (client,) = found.clients
            assert (client.user, client.application) == (maas.MAAS, "maas-regiond")
            assert "MAAS is connected" in found.blockers[0].text
        assert check(any_maas, root, online=True).ready


def test_who_may_only_read_is_named_and_stands_in_nobodys_way(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    with any_maas.session(maas.READER) as conn:
        conn.execute("SELECT 1")
        found = check(any_maas, root)
        assert [client.user for client in found.clients] == [maas.READER]
        assert found.ready


def test_the_time_is_estimated_from_a_sample(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    assert check(any_maas, root).seconds is None, "there is nothing to read"
    fill(any_maas)
    seconds = check(any_maas, root).seconds
    assert seconds is not None
    assert seconds > 0


def test_the_query_by_hand_is_told(any_maas: maas.MaasDatabase, root: pathlib.Path) -> None:
    generation = check(any_maas, root).generation
    assert check(any_maas, root).query == schema.query_for_space(generation)


def test_names_that_maas_cuts_to_the_same_seven_digits_are_counted(
    any_maas: maas.MaasDatabase, root: pathlib.Path
) -> None:
    of_set = any_maas.version(any_maas.resource("ubuntu/noble"), "1")
    for number in (1, 2):
        stored = any_maas.store(b"%d" % number)
        any_maas.execute(
            "UPDATE maasserver_largefile SET sha256 = %s WHERE id = %s",
            f"abcdef0{number}".ljust(64, "0"),
            stored.id,
        )
        any_maas.file(of_set, f"f{number}", stored, "squashfs")
    assert check(any_maas, root).counts.twins == 1


def test_files_that_maas_moved_to_disk_are_named(
    maas_3_5: maas.MaasDatabase, root: pathlib.Path
) -> None:
    of_set = maas_3_5.version(maas_3_5.resource("ubuntu/noble"), "1")
    moved = maas_3_5.file(of_set, "squashfs", None, sha256="a" * 64, size=5)
    maas_3_5.file(of_set, "boot-kernel", maas_3_5.store(b"kernel"))
    maas_3_5.region("region-a", moved)
    found = check(maas_3_5, root)
    assert [flaw.reason for _, flaw in found.broken] == ["MAAS moved it to the disk of region-a"]
    assert found.ready

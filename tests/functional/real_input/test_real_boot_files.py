"""A source whose payloads are real boot files goes all the way through, byte for byte."""

import hashlib
import pathlib
import tarfile

from boot_resources.demo import signed_source
from support import debian_boot_files, through, tiers

CACHE = pathlib.Path(__file__).resolve().parents[3] / ".cache"
VERSION = "20251101"


def test_real_boot_files_from_the_distribution_go_all_the_way_through(
    tmp_path: pathlib.Path,
) -> None:
    try:
        files = debian_boot_files.boot_files(CACHE)
    except debian_boot_files.UnavailableError as error:
        tiers.missing(f"no real boot files: {error}")
    source = signed_source.SignedSource(tmp_path / "source")
    expected: dict[str, tuple[str, int]] = {}

    def offer(
        document: str,
        name: str,
        tags: dict[str, str],
        directory: str,
        items: dict[str, tuple[str, pathlib.Path]],
    ) -> None:
        made = {}
        for filename, (ftype, path) in items.items():
            content = path.read_bytes()
            added = source.add_payload(f"{directory}/{filename}", content)
            made[filename] = (ftype, added)
            expected[f"{name}/{filename}"] = (hashlib.sha256(content).hexdigest(), len(content))
        source.add_product(
            document, f"com.example:{_generation(tags)}:{name}", tags, VERSION, made
        )

    offer(
        signed_source.UBUNTU,
        "ubuntu/amd64/ga-24.04/noble/stable",
        {
            "os": "ubuntu",
            "arch": "amd64",
            "subarch": "ga-24.04",
            "subarches": "generic,ga-24.04",
            "kflavor": "generic",
            "release": "noble",
            "label": "stable",
        },
        f"noble/amd64/{VERSION}",
        {
            "boot-kernel": ("boot-kernel", files.kernel),
            "boot-initrd": ("boot-initrd", files.initrd),
            "squashfs": ("squashfs", files.squashfs),
        },
    )
    offer(
        signed_source.BOOTLOADERS,
        "grub-efi-signed/amd64/generic/uefi/stable",
        {
            "os": "grub-efi-signed",
            "arch": "amd64",
            "label": "stable",
            "bootloader-type": "uefi",
        },
        f"bootloaders/uefi/amd64/{VERSION}",
        {
            "shim-signed.tar.xz": ("archive.tar.xz", files.shim),
            "grub2-signed.tar.xz": ("archive.tar.xz", files.grub),
        },
    )
    offer(
        signed_source.BOOTLOADERS,
        "pxelinux/i386/generic/pxe/stable",
        {"os": "pxelinux", "arch": "i386", "label": "stable", "bootloader-type": "pxe"},
        f"bootloaders/pxe/i386/{VERSION}",
        {"syslinux.tar.xz": ("archive.tar.xz", files.syslinux)},
    )
    source.publish()
    assert files.kernel.stat().st_size > 4_000_000, "a real kernel has several megabytes"
    assert files.squashfs.read_bytes()[:4] == b"hsqs"
    with tarfile.open(files.shim) as archive:
        assert "bootx64.efi" in archive.getnames()
    noble = [("ubuntu", "noble", "*")]
    through.fetch_everything(tmp_path / "site", source, noble, expected, images=3)


def _generation(tags: dict[str, str]) -> str:
    return "1" if "bootloader-type" in tags else "v3"

"""Real boot files from the distribution's packages, none of which is installed.

Packages are downloaded by ``apt-get`` and unpacked beside the cache, as any user: a kernel, shim,
signed GRUB and pxelinux come as the distribution ships them; initrd and squashfs are made here
from its static busybox. A set is built once for each release of the distribution and appears in
the cache whole or not at all. The host is not changed: where its package lists are missing or too
old, a list of our own is fetched into the cache.
"""

import dataclasses
import gzip
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

INITRD_MARKER = "BOOT-RESOURCES-INITRD-OK"
"""What the initrd writes to the console before it powers the machine off."""

_KERNELS = ("linux-image-amd64", "linux-image-virtual")
"""The packages that depend on the newest kernel image: Debian's, Ubuntu's."""

_SHIM = {"bootx64.efi": "usr/lib/shim/shimx64.efi.signed*"}
_GRUB = {"grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"}
_SYSLINUX = {"lpxelinux.0": "usr/lib/PXELINUX/lpxelinux.0"} | {
    name: f"usr/lib/syslinux/modules/bios/{name}"
    for name in (
        "chain.c32",
        "ifcpu.c32",
        "ifcpu64.c32",
        "ldlinux.c32",
        "libcom32.c32",
        "libutil.c32",
    )
}
"""Names at the top of each archive, as MAAS's streams pack them, and where packages hold them."""

_INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox echo {INITRD_MARKER}
/bin/busybox poweroff -f
"""


class UnavailableError(Exception):
    """No boot files can be had on this host; the message says why."""


@dataclasses.dataclass(frozen=True)
class BootFiles:
    """One real set of files, amd64, as the items of a stream hold them."""

    kernel: Path
    initrd: Path
    squashfs: Path
    shim: Path
    """``shim-signed.tar.xz``"""
    grub: Path
    """``grub2-signed.tar.xz``"""
    syslinux: Path
    """``syslinux.tar.xz``"""


def boot_files(cache: Path) -> BootFiles:
    """Return the boot files of this host's distribution, built under ``cache`` where new.

    The first call downloads about 90 MB and takes some tens of seconds.

    Raises:
        UnavailableError: without ``apt-get``, ``cpio`` or ``mksquashfs``, on another architecture
            than amd64, or where the packages cannot be downloaded.
    """
    release = platform.freedesktop_os_release()
    made = cache / f"boot-files-{release['ID']}-{release.get('VERSION_ID', 'unknown')}"
    if not made.is_dir():
        _check_host()
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as work:
            _build(Path(work), cache / "apt")
            _publish(Path(work) / "made", made)
    return BootFiles(
        kernel=made / "vmlinuz",
        initrd=made / "initrd",
        squashfs=made / "squashfs",
        shim=made / "shim-signed.tar.xz",
        grub=made / "grub2-signed.tar.xz",
        syslinux=made / "syslinux.tar.xz",
    )


def _check_host() -> None:
    if platform.machine() != "x86_64":
        raise UnavailableError(f"boot files are made on x86_64 only, not {platform.machine()}")
    missing = [
        command
        for command in ("apt-get", "apt-cache", "dpkg-deb", "cpio", "mksquashfs")
        if shutil.which(command) is None
    ]
    if missing:
        raise UnavailableError(f"boot files need {', '.join(missing)}, not found on this host")


def _build(work: Path, apt: Path) -> None:
    """Download, unpack and pack; the result is ``work/made``."""
    unpacked = work / "unpacked"
    for package in _download(work, apt):
        _run("dpkg-deb", "-x", str(package), str(unpacked))
    made = work / "made"
    made.mkdir()
    shutil.copyfile(_one(unpacked, "boot/vmlinuz-*"), made / "vmlinuz")
    busybox = _one(unpacked, "**/bin/busybox")
    _pack_initrd(_root(work / "initrd", busybox, init="init"), made / "initrd")
    _pack_squashfs(_root(work / "squashfs", busybox, init="sbin/init"), made / "squashfs")
    _pack_archive(made / "shim-signed.tar.xz", unpacked, _SHIM)
    _pack_archive(made / "grub2-signed.tar.xz", unpacked, _GRUB)
    _pack_archive(made / "syslinux.tar.xz", unpacked, _SYSLINUX)


def _publish(built: Path, made: Path) -> None:
    try:
        built.rename(made)
    except OSError:
        # Another run of the tests was faster, and what it made is as good.
        if not made.is_dir():
            raise


def _download(work: Path, apt: Path) -> Iterable[Path]:
    """Download all packages into ``work``: by the host's lists, then by lists of our own.

    The host's lists are often missing in a container, or name a kernel that is gone since.
    """
    try:
        return _download_by(work, ())
    except UnavailableError:
        own = _own_lists(apt)
        # It complains, by its exit status, of any repository of someone else that does not
        # answer; what matters is whether the download works.
        command = ["apt-get", *own, "-qq", "update"]
        update = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            return _download_by(work, own)
        except UnavailableError as error:
            said = _last_line(update.stderr)
            raise UnavailableError(f"{error}; apt-get update said: {said}") from None


def _own_lists(apt: Path) -> tuple[str, ...]:
    lists = apt / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    # Without a sandbox: apt's own user need not be able to write into our cache.
    return (
        "-o",
        f"Dir::State::Lists={lists}",
        "-o",
        f"Dir::Cache={apt / 'cache'}",
        "-o",
        "APT::Sandbox::User=",
    )


def _download_by(work: Path, options: tuple[str, ...]) -> list[Path]:
    names = [
        _kernel_image(options),
        "busybox-static",
        "grub-efi-amd64-signed",
        "pxelinux",
        "shim-signed",
        "syslinux-common",
    ]
    _run("apt-get", *options, "-qq", "-o", "APT::Sandbox::User=", "download", *names, cwd=work)
    return sorted(work.glob("*.deb"))


def _kernel_image(options: tuple[str, ...]) -> str:
    """Return the name of the newest kernel image, such as ``linux-image-6.1.0-40-amd64``."""
    for name in _KERNELS:
        command = ["apt-cache", *options, "show", "--no-all-versions", name]
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        depends = re.search(r"^Depends:.*?\b(linux-image-\d[\w.+-]*)", shown, re.MULTILINE)
        if depends is not None:
            return depends[1]
    raise UnavailableError(f"apt knows none of the packages {', '.join(_KERNELS)}")


def _one(unpacked: Path, pattern: str) -> Path:
    """Return the file of that pattern, the shortest name where there are several."""
    found = [path for path in unpacked.glob(pattern) if path.is_file()]
    if not found:
        raise UnavailableError(f"the downloaded packages hold no {pattern}")
    return min(found, key=lambda path: (len(path.name), path))


def _root(root: Path, busybox: Path, init: str) -> Path:
    """Make a root file system whose ``init`` prints the marker and powers off."""
    for name in ("bin", "dev", "proc", "sbin", "sys"):
        (root / name).mkdir(parents=True)
    shutil.copyfile(busybox, root / "bin/busybox")
    (root / init).write_text(_INIT)
    for program in ("bin/busybox", init):
        (root / program).chmod(0o755)
    return root


def _pack_initrd(root: Path, initrd: Path) -> None:
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    command = ["cpio", "--create", "--format=newc", "--owner=+0:+0", "--quiet"]
    archive = _run(*command, cwd=root, stdin="\n".join(names).encode())
    initrd.write_bytes(gzip.compress(archive))


def _pack_squashfs(root: Path, squashfs: Path) -> None:
    _run("mksquashfs", str(root), str(squashfs), "-all-root", "-noappend", "-no-progress")


def _pack_archive(archive: Path, unpacked: Path, files: Mapping[str, str]) -> None:
    with tarfile.open(archive, "w:xz") as tar:
        for name, pattern in files.items():
            tar.add(_one(unpacked, pattern), arcname=name)


def _run(*command: str, cwd: Path | None = None, stdin: bytes = b"") -> bytes:
    """Run one of the distribution's tools and return what it printed.

    Raises:
        UnavailableError: where it fails; the message ends with its last line.
    """
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, cwd=cwd, input=stdin, capture_output=True, check=False, env=environment
    )
    if done.returncode != 0:
        reason = _last_line(done.stderr.decode(errors="replace"))
        raise UnavailableError(f"{command[0]} failed: {reason}")
    return done.stdout


def _last_line(said: str) -> str:
    return said.strip().rpartition("\n")[2] or "nothing"

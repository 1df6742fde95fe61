"""The file system that test hosts boot from: Debian packages, made once, then kept.

It is a test device in two ways. It calls itself Ubuntu 24.04, because charms accept nothing else;
its own ``/etc/os-release`` says that it is not. And where Ubuntu has its ``python3``, every host
gets this machine's Python 3.12 bound in read-only. All that a charm takes from the distribution
is in it, so that no host needs a network.
"""

import contextlib
import fcntl
import hashlib
import inspect
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator

from support import tiers

SUITE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "udev", "kmod", "procps", "iproute2"),
    *("adduser", "ca-certificates", "curl", "gpg", "gpg-agent", "sudo"),
    # What a Python that was built on this machine is linked with.
    *("libssl3", "libsqlite3-0", "libffi8", "liblzma5", "libbz2-1.0", "zlib1g", "libexpat1"),
    *("libreadline8", "libncursesw6", "libuuid1"),
)
PROGRAMS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
"""What this machine needs, and the Debian packages that have it."""
CACHE = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "hosts"

_OS_RELEASE = """\
PRETTY_NAME="Ubuntu 24.04 (a test host of boot-resources: Debian that calls itself Ubuntu)"
NAME="Ubuntu"
ID=ubuntu
ID_LIKE=debian
VERSION_ID="24.04"
VERSION="24.04 LTS (Noble Numbat)"
VERSION_CODENAME=noble
UBUNTU_CODENAME=noble
"""
_LSB_RELEASE = """\
DISTRIB_ID=Ubuntu
DISTRIB_RELEASE=24.04
DISTRIB_CODENAME=noble
DISTRIB_DESCRIPTION="Ubuntu 24.04"
"""


def ready() -> pathlib.Path:
    """Return the directory of the file system, made if it is not there; it is only read.

    The test ends here, by ``tiers.missing``, where it cannot be made.
    """
    place = CACHE / _key()
    CACHE.mkdir(parents=True, exist_ok=True)
    # It holds setuid programs and devices: nobody else's business.
    CACHE.chmod(0o700)
    with _alone():
        if not place.exists():
            for old in CACHE.glob("root-*"):
                shutil.rmtree(old)
            _make(place)
    return place


def python() -> pathlib.Path:
    """Return the prefix of a Python 3.12 that can be bound into a host.

    That of the distribution cannot: its prefix is ``/usr``, and a host has its own.
    """
    beside = sorted(pathlib.Path.home().glob(".pyenv/versions/3.12.*/bin/python3.12"))
    for directory in os.get_exec_path():
        beside.append(pathlib.Path(directory) / "python3.12")
    prefixes = map(_prefix, [pathlib.Path(sys.executable), *beside])
    found = next(filter(None, prefixes), None)
    if found is None:
        tiers.missing("test hosts need a Python 3.12 that is not the distribution's, as pyenv's")
    return found


def bindings(prefix: pathlib.Path) -> list[str]:
    """Return the options of systemd-nspawn that put a Python where Ubuntu has its own."""
    libraries = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
    places = {
        "bin/python3.12": "/usr/bin/python3.12",
        "lib/python3.12": "/usr/lib/python3.12",
        # It looks for this where it was built, and there no hardened service sees anything.
        "lib/libpython3.12.so.1.0": f"{libraries}/libpython3.12.so.1.0",
    }
    return [
        *(
            f"--bind-ro={prefix / own}:{there}"
            for own, there in places.items()
            if (prefix / own).exists()
        ),
        # What this machine's Python has of its own must not be of any help to a charm.
        "--tmpfs=/usr/lib/python3.12/site-packages",
    ]


def _prefix(interpreter: pathlib.Path) -> pathlib.Path | None:
    """Return where a Python 3.12 is installed, or None where this is not one that will do."""
    ask = "import sys; print(*sys.version_info[:2], sys.base_prefix)"
    try:
        said = subprocess.run(
            [interpreter, "-I", "-c", ask], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor, prefix = said.stdout.strip().split(" ", 2)
    will_do = (major, minor) == ("3", "12") and prefix != "/usr"
    return pathlib.Path(prefix) if will_do else None


def check_machine() -> None:
    """End the test here, by ``tiers.missing``, where this machine cannot boot a host."""
    if os.geteuid() != 0:
        tiers.missing("only root can boot a test host")
    wanting = sorted({package for name, package in PROGRAMS.items() if not shutil.which(name)})
    if wanting:
        tiers.missing(f"no test hosts without: apt-get install {' '.join(wanting)}")


def _key() -> str:
    """Return a name that changes with the packages and with the way to make it of them."""
    recipe = "".join((SUITE, *PACKAGES, _OS_RELEASE, _LSB_RELEASE, inspect.getsource(_furnish)))
    return f"root-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time make it."""
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(place: pathlib.Path) -> None:
    """Install the packages and furnish them; what is in ``place`` is whole."""
    archive = _archive()
    with tempfile.TemporaryDirectory(prefix="making-", dir=CACHE) as making:
        root = pathlib.Path(making) / "root"
        include = f"--include={','.join(PACKAGES)}"
        command = ["debootstrap", "--variant=minbase", include, SUITE, str(root), archive]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            last = (made.stdout + made.stderr).strip().splitlines()[-3:]
            tiers.missing(f"debootstrap could not make a test host: {' / '.join(last)}")
        _furnish(root)
        root.rename(place)


def _archive() -> str:
    """Return the archive that this machine itself installs from."""
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)"]
    said = subprocess.run(
        [*command, "Created-By: Packages", "Component: main"],
        capture_output=True,
        text=True,
        check=True,
    )
    sites = [line.split(" ")[0] for line in said.stdout.splitlines() if line.endswith(f" {SUITE}")]
    if not sites:
        tiers.missing(f"test hosts are made of Debian's {SUITE}, which this machine does not use")
    return sites[0]


def _furnish(root: pathlib.Path) -> None:
    """Make a Debian look like Ubuntu, take the Python that it is given, and boot in silence."""
    for path in ("etc/os-release", "usr/lib/os-release"):
        (root / path).unlink(missing_ok=True)
        (root / path).write_text(_OS_RELEASE)
    (root / "etc/lsb-release").write_text(_LSB_RELEASE)
    # Each host has its own.
    for path in ("etc/machine-id", "etc/hostname"):
        (root / path).unlink(missing_ok=True)
    (root / "usr/bin/python3").symlink_to("python3.12")
    enabled = ["systemd-networkd.service", "systemd-networkd-wait-online.service"]
    # A host has no network beyond the tests', and nobody logs in.
    masked = ["apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service"]
    for verb, units in (("enable", enabled), ("mask", masked)):
        command = ["systemctl", f"--root={root}", "--quiet", verb, *units]
        subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)

"""Settings files: the defaults of the seeds, and one clear line for everything that is wrong."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from boot_resources import errors, units
from boot_resources.settings import files, rack, region
from support import plane_region

IDENTITY = ("certificate", "key", "authority", "members")


@pytest.fixture
def here(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give a directory with the files that a settings file names."""
    for name in (*IDENTITY, "keyring"):
        (tmp_path / name).write_text(name)
    return tmp_path


def write(here: pathlib.Path, head: str, tables: str = "", plane: str = "") -> pathlib.Path:
    """Write a settings file; ``head`` comes first, ``plane`` goes to the table [plane]."""
    identity = "\n".join(f'{name} = "{here / name}"' for name in IDENTITY)
    path = here / "settings.toml"
    path.write_text(f"{head}\n[plane]\n{identity}\n{plane}\n{tables}\n")
    return path


REGION = 'controller = "region"\nname = "region-0"'
RACK = 'controller = "rack"\nname = "rack-0"\nregions = ["10.0.0.5:5290"]'


def lines(path: pathlib.Path) -> list[str]:
    """Return what is wrong with a file, without its name."""
    with pytest.raises(errors.SettingsError) as caught:
        files.load(path)
    found = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in found)
    return [line.removeprefix(f"{path}: ") for line in found]


def test_a_region_that_says_little_gets_the_defaults_of_the_seeds(here: pathlib.Path) -> None:
    settings = files.load_region(write(here, REGION))
    assert settings.storage.path == pathlib.Path("/var/lib/maas/image-storage")
    assert settings.storage.reserve == units.GIB
    assert settings.plane.port == 5290
    assert settings.metrics.port == 5291
    assert settings.metrics.listen == "127.0.0.1"
    assert settings.download.sync_interval == 3600
    assert settings.catalog.url.startswith("sqlite:")
    assert region.SEED_SOURCE == "https://images.maas.io/ephemeral-v3/stable/"
    unsigned = region.Source.model_validate({"allow-unsigned": True})
    assert unsigned.url == region.SEED_SOURCE
    assert unsigned.keyring_bytes() is None
    assert settings.source is None
    assert settings.selections is None


def test_a_rack_that_says_little_gets_the_defaults_of_the_seeds(here: pathlib.Path) -> None:
    settings = files.load_rack(write(here, RACK))
    assert settings.cache.size == 4 * 1024**3
    assert settings.http.port == 5248
    assert settings.cache.path == pathlib.Path("/var/cache/boot-resources")


def test_everything_that_can_be_said_is_understood(here: pathlib.Path) -> None:
    settings = files.load_region(
        write(
            here,
            REGION + '\nlog-level = "debug"',
            f"""
            [storage]
            path = "/srv/images"
            reserve = "512M"
            removed-grace = "1h"
            superseded-grace = 0
            [catalog]
            url = "postgresql://maas@db/boot"
            [source]
            url = "http://images.example.com/"
            keyring = "{here / "keyring"}"
            [download]
            proxy = "http://proxy.example.com:3128"
            no-proxy = ["localhost", "10.0.0.0/8"]
            parallel = 8
            sync-interval = "30m"
            [[selections]]
            os = "ubuntu"
            release = "noble"
            arches = ["amd64", "arm64"]
            [metrics]
            port = 9000
            [control]
            socket = "/tmp/region.sock"
            """,
            'listen = "::"\nport = 5555\naddress = "r0.example.com:5555"',
        )
    )
    assert settings.storage == region.Storage.model_validate(
        {"path": "/srv/images", "reserve": 512 * 1024**2, "removed-grace": 3600.0}
        | {"superseded-grace": 0.0}
    )
    assert settings.source is not None
    assert settings.source.keyring_bytes() == b"keyring"
    assert settings.download.no_proxy == ("localhost", "10.0.0.0/8")
    assert settings.download.sync_interval == 1800
    assert settings.selections is not None
    assert settings.selections[0].arches == ("amd64", "arm64")
    assert settings.selections[0].labels == ("*",)
    assert settings.plane.address == "r0.example.com:5555"


WRONG = {
    "an unknown key": (
        "[storage]\nresrve = '1G'",
        "storage.resrve: unknown key; docs/configuration.md lists them all",
    ),
    "a key with an underscore": (
        "[source]\nallow_unsigned = true",
        "source.allow_unsigned: unknown key; docs/configuration.md lists them all",
    ),
    "an unknown table": ("[cache]\n", "cache: unknown key; docs/configuration.md lists them all"),
    "a bad size": (
        "[storage]\nreserve = '4GG'",
        "storage.reserve: '4GG' is not a size; write for example 512M, 4G or 1.5T",
    ),
    "a bad duration": (
        "[download]\nsync-interval = '1 fortnight'",
        (
            "download.sync-interval: '1 fortnight' is not a duration; "
            "write for example 90s, 30m, 1h or 7d"
        ),
    ),
    "a duration without end": (
        "[storage]\nremoved-grace = inf",
        "storage.removed-grace: inf is longer than a century",
    ),
    "an interval of nothing": (
        "[download]\nsync-interval = 0",
        "download.sync-interval: 0.0: it must be greater than or equal to 1",
    ),
    "a port beyond the last": (
        "[metrics]\nport = 65536",
        "metrics.port: 65536: it must be less than or equal to 65535",
    ),
    "a missing keyring": (
        "[source]\nkeyring = '/absent/keyring.gpg'",
        "source.keyring: cannot read /absent/keyring.gpg: No such file or directory",
    ),
    "a directory as keyring": (
        "[source]\nkeyring = '/'",
        "source.keyring: cannot read /: Is a directory",
    ),
    "two keyrings": (
        "[source]\nkeyring = '/etc/hostname'\nkeyring-data = 'x'",
        "source: give keyring or keyring-data, not both",
    ),
    "a source of another scheme": (
        "[source]\nurl = 'ftp://images.example.com/'",
        "source.url: this is not a URL of http or https",
    ),
    "a source without a host": (
        "[source]\nurl = 'http:///streams'",
        "source.url: this is not a URL of http or https",
    ),
    "a proxy of another protocol": (
        "[download]\nproxy = 'socks9://admin:secret@proxy:1080'",
        "download.proxy: this is not a URL of http or https",
    ),
    "a selection that says too little": (
        "[[selections]]\nos = 'ubuntu'",
        "selections.0.release: missing, and it has no default",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_each_thing_that_is_wrong_is_one_line(here: pathlib.Path, case: str) -> None:
    tables, line = WRONG[case]
    assert lines(write(here, REGION, tables)) == [line]


def test_several_things_that_are_wrong_are_a_line_each(here: pathlib.Path) -> None:
    tables = "\n".join(
        WRONG[case][0] for case in ("a bad size", "a missing keyring", "a port beyond the last")
    )
    assert len(lines(write(here, REGION, tables))) == 3


@pytest.mark.parametrize("name", ["", "Region", "a b", "-a", "a" * 65, "a/b", "a\\nb"])
def test_a_name_that_fits_no_certificate_is_refused(here: pathlib.Path, name: str) -> None:
    (line,) = lines(write(here, f'controller = "region"\nname = "{name}"'))
    assert line.startswith("name: ")


def test_where_nothing_is_said_of_the_plane_its_default_files_are_named(
    here: pathlib.Path,
) -> None:
    (here / "settings.toml").write_text(REGION)
    found = lines(here / "settings.toml")
    assert found[0].startswith("plane.certificate: cannot read /etc/boot-resources/")
    assert len(found) == len(IDENTITY)


def test_a_missing_certificate_is_named(here: pathlib.Path) -> None:
    (here / "key").unlink()
    assert lines(write(here, REGION)) == [
        f"plane.key: cannot read {here / 'key'}: No such file or directory"
    ]


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.5",
        "10.0.0.5:",
        ":5290",
        "10.0.0.5:0",
        "10.0.0.5:65536",
        "h:²",
        "h:-1",
        "2001:db8::1:5290",
        "http://h:5290",
    ],
)
def test_a_region_that_is_no_host_and_port_is_refused(here: pathlib.Path, address: str) -> None:
    head = f'controller = "rack"\nname = "rack-0"\nregions = ["10.0.0.5:5290", "{address}"]'
    (line,) = lines(write(here, head))
    assert line.startswith(f"regions: {address!r} is not an address; write for example ")


def test_a_rack_without_regions_is_refused(here: pathlib.Path) -> None:
    head = 'controller = "rack"\nname = "rack-0"\nregions = []'
    (line,) = lines(write(here, head))
    assert line.startswith("regions: ")


@pytest.mark.parametrize("controller", ["", 'controller = "rock"', "controller = 5"])
def test_a_file_that_does_not_say_whom_it_is_for_is_refused(
    here: pathlib.Path, controller: str
) -> None:
    assert lines(write(here, controller)) == [
        'controller: say which this file is for: controller = "region" or "rack"'
    ]


def test_the_settings_of_the_other_controller_are_refused(here: pathlib.Path) -> None:
    with pytest.raises(errors.SettingsError, match="the settings of a rack, not of a region"):
        files.load_region(write(here, RACK))
    with pytest.raises(errors.SettingsError, match="the settings of a region, not of a rack"):
        files.load_rack(write(here, REGION))


@pytest.mark.parametrize("content", [b"controller = ", b"\xff\xfe", b'a = "\x00"'])
def test_what_is_not_toml_is_refused(here: pathlib.Path, content: bytes) -> None:
    path = here / "settings.toml"
    path.write_bytes(content)
    (line,) = lines(path)
    assert line.startswith("this is not TOML: ")


def test_a_file_that_cannot_be_read_is_named(here: pathlib.Path) -> None:
    with pytest.raises(errors.SettingsError, match="No such file or directory") as caught:
        files.load(here / "absent.toml")
    assert "--settings FILE" in caught.value.cure
    with pytest.raises(errors.SettingsError, match="Is a directory"):
        files.load(here)


def test_a_password_in_a_url_is_not_shown(here: pathlib.Path) -> None:
    tables = "[source]\nurl = 'ftp://admin:secret@images.example.com/'"
    assert "secret" not in "".join(lines(write(here, REGION, tables)))


def test_the_default_keyring_that_is_missing_is_named_with_the_option(
    here: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region, "UBUNTU_KEYRING", here / "absent.gpg")
    (line,) = lines(write(here, REGION, "[source]"))
    assert line.startswith(f"source: cannot read the keyring {here / 'absent.gpg'}: ")
    assert line.endswith("or set source.keyring")
    files.load(write(here, REGION, "[source]\nallow-unsigned = true"))


def test_who_asks_a_running_controller_need_not_read_its_key(here: pathlib.Path) -> None:
    path = write(here, REGION, '[control]\nsocket = "/tmp/r.sock"')
    (here / "key").unlink()
    assert files.peek(path) == ("region", pathlib.Path("/tmp/r.sock"))
    assert files.peek(write(here, RACK)) == ("rack", rack.Control().socket)
    assert files.peek(write(here, 'control = "x"\n' + REGION))[1] == region.Control().socket


@pytest.mark.parametrize("case", ["an unknown key", "a bad size", "a missing keyring"])
def test_the_command_says_the_line_and_exits_with_2(here: pathlib.Path, case: str) -> None:
    tables, line = WRONG[case]
    path = write(here, REGION, tables)
    words = [sys.executable, "-m", "boot_resources", "region", "check", "--settings", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"error: {path}: {line}"]


def test_the_command_says_that_settings_are_right(here: pathlib.Path) -> None:
    cluster = plane_region.Cluster(here / "cluster")
    issued = cluster.region()
    real = (issued.certificate, issued.key, issued.authority, cluster.list_path)
    for name, file in zip(IDENTITY, real, strict=True):
        shutil.copyfile(file, here / name)
        (here / name).chmod(0o600)
    path = write(here, REGION)
    words = [sys.executable, "-m", "boot_resources", "region", "check", "--settings", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: the settings of region region-0 are right\n"

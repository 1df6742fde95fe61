"""The demo's source and its servers: what the tests of every room stand on."""

import contextlib
import hashlib
import io
import tarfile
import time
from pathlib import Path

import pytest
import requests

from boot_resources import errors, units
from boot_resources.demo import origin, payloads, signed_source, signing
from boot_resources.source import fetch, keyring, reading, select

SIZE = 4 * units.MIB


def read(source: signed_source.SignedSource, url: str) -> reading.Reading:
    ring = keyring.Keyring.from_file(source.keyring)
    with fetch.Fetcher() as fetcher:
        return reading.read(reading.BootSource(url, ring), fetcher, {}, units.utc_now())


def test_a_payload_is_the_same_bytes_whole_and_by_blocks() -> None:
    payload = payloads.Payload("seed", 2 * units.MIB + 5)
    assert len(payload.read()) == payload.size
    assert payload.block(2) == payload.read()[2 * units.MIB :]
    assert payload.read() == payloads.Payload("seed", payload.size).read()
    assert payload.read() != payloads.Payload("other", payload.size).read()


def test_the_small_cloud_is_what_its_truth_says(tmp_path: Path) -> None:
    with signed_source.small_cloud(tmp_path, SIZE) as source:
        with origin.Origin(tmp_path) as server:
            found = read(source, server.url)
    assert found.complete
    assert found.problems == ()
    choice = select.choose(found.products, [select.Selection("*", "*")])
    offered = {
        (w.os, w.arch, w.subarch, w.release, w.label, w.version, i.filename, i.sha256, i.size)
        for w in choice.wanted
        for i in w.items
    }
    assert offered == {
        (t.os, t.arch, t.subarch, t.release, t.label, t.version, t.filename, t.sha256, t.size)
        for t in source.truth
    }
    for wanted in choice.wanted:
        for item in wanted.items:
            content = (tmp_path / item.path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == item.sha256
            assert len(content) == item.size
    objects = {t.sha256: t.size for t in source.truth}
    assert sum(objects.values()) == pytest.approx(SIZE, rel=0.05)
    assert len(objects) < len(source.truth)
    kinds = {(w.os, w.arch, w.bootloader_type) for w in choice.wanted}
    assert kinds == {
        ("ubuntu", "amd64", ""),
        ("centos", "amd64", ""),
        ("pxelinux", "i386", "pxe"),
        ("grub-efi-signed", "amd64", "uefi"),
        ("grub-efi", "arm64", "uefi"),
        ("grub-ieee1275", "ppc64el", "open-firmware"),
    }


def test_bootloader_archives_are_real_ones(tmp_path: Path) -> None:
    with signed_source.small_cloud(tmp_path, SIZE):
        archives = sorted(tmp_path.glob("bootloaders/**/*.tar.xz"))
    assert len(archives) == 6
    members = []
    for archive in archives:
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes()), mode="r:xz") as tar:
            members += tar.getnames()
    assert {"bootx64.efi", "grubx64.efi", "lpxelinux.0", "bootppc64.bin"} <= set(members)


def test_the_same_seed_gives_the_same_payloads(tmp_path: Path) -> None:
    clouds = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        with signed_source.small_cloud(tmp_path / name, units.MIB, seed) as source:
            clouds.append(source.truth)
    assert clouds[0] == clouds[1]
    assert {t.sha256 for t in clouds[0]}.isdisjoint(t.sha256 for t in clouds[2])


def test_a_newer_version_is_published_beside_the_older(tmp_path: Path) -> None:
    with signed_source.small_cloud(tmp_path, units.MIB) as source:
        signed_source.add_version(source, "20250719", units.MIB)
        source.publish()
        with origin.Origin(tmp_path) as server:
            found = read(source, server.url)
    choice = select.choose(found.products, [select.Selection("*", "*")])
    assert {wanted.version for wanted in choice.wanted} == {"20250719"}
    assert {len(product.versions) for product in found.products} == {2}


def test_both_forms_of_the_keyring_hold_the_same_key(tmp_path: Path) -> None:
    with signed_source.SignedSource(tmp_path) as source:
        binary = keyring.Keyring.from_file(tmp_path / "keyring.gpg")
        armoured = keyring.Keyring.from_file(tmp_path / "keyring.asc")
        assert binary.fingerprints == armoured.fingerprints == (source.key,)


def test_a_closed_keychain_leaves_no_agent_and_no_key() -> None:
    chain = signing.Keychain()
    chain.clear_sign(b"text", [chain.new_key("name")])
    (home,) = (path for path in agents() if path == str(chain._home))
    chain.close()
    deadline = time.monotonic() + 30
    while home in agents() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert home not in agents()
    assert not Path(home).exists()


def agents() -> set[str]:
    """Return the directories of the agents that run on this host."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if words[0].endswith("gpg-agent") and "--homedir" in words:
                found.add(words[words.index("--homedir") + 1])
    return found


def test_a_host_without_an_agent_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpg").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.BootResourcesError, match="gpg-agent is not installed") as caught:
        signing.Keychain()
    assert caught.value.cure == "run: apt install gpg-agent"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "streams").mkdir(parents=True)
    (root / "streams" / "d").write_bytes(b"document")
    (root / "p").write_bytes(b"0123456789")
    (tmp_path / "secret").write_bytes(b"secret")
    return root


@pytest.mark.parametrize("relayed", [False, True])
def test_the_server_counts_what_it_sends(directory: Path, relayed: bool) -> None:
    with origin.Origin(directory) as real, origin.RelayOrigin(real.url) as relay:
        server = relay if relayed else real
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(server.url + "p").content == b"0123456789"
            part = session.get(server.url + "p", headers={"Range": "bytes=2-4"})
            assert (part.status_code, part.content) == (206, b"234")
            assert part.headers["Content-Range"] == "bytes 2-4/10"
            rest = session.get(server.url + "p", headers={"Range": "bytes=8-"})
            assert rest.content == b"89"
            beyond = session.get(server.url + "p", headers={"Range": "bytes=10-"})
            assert beyond.status_code == 416
            known = {"If-None-Match": part.headers["ETag"]}
            assert session.get(server.url + "p", headers=known).status_code == 304
            stale = {"Range": "bytes=2-4", "If-Range": '"stale"'}
            assert session.get(server.url + "p", headers=stale).content == b"0123456789"
            assert session.get(server.url + "streams/d").content == b"document"
            assert session.get(server.url + "absent").status_code == 404
            assert session.get(server.url + "%2e%2e/secret").status_code == 404
        assert server.payload_bytes == 10 + 3 + 2 + 10
        assert server.document_bytes == 8
        assert server.bytes_by_path["/p"] == server.payload_bytes
        assert len(server.requests) == 9


@pytest.mark.parametrize("relayed", [False, True])
def test_a_cut_is_counted_as_far_as_it_went(directory: Path, relayed: bool) -> None:
    with origin.Origin(directory) as real, origin.RelayOrigin(real.url) as relay:
        server = relay if relayed else real
        server.on_request = lambda _: origin.Cut(4)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(server.url + "p", timeout=5)
        assert server.payload_bytes == 4


def test_a_relay_of_a_source_that_is_down_says_so(directory: Path) -> None:
    with origin.RelayOrigin("http://127.0.0.1:9/") as relay:
        assert requests.get(relay.url + "p", timeout=5).status_code == 502

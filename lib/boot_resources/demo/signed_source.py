"""A real signed simplestreams source in a directory, small enough to make in a second.

``SignedSource`` is the pencil: products, versions and items in any shape, or ready documents, are
signed and published. ``small_cloud`` draws with it what ``make demo`` and the tests use: Ubuntu,
CentOS and bootloaders in the shapes and proportions of MAAS's own stream.

Publishing twice with a newer date is what a real source does when it gets new versions.
"""

import dataclasses
import datetime
import email.utils
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from boot_resources import units
from boot_resources.demo import payloads, signing

INDEX = "streams/v1/index.json"
BOOTLOADERS = "com.example.maas:stable:1:bootloader-download"
CENTOS = "com.example.maas:stable:centos-bases-download"
UBUNTU = "com.example.maas:stable:v3:download"


@dataclasses.dataclass(frozen=True)
class File:
    """A payload that lies in the source: ``path`` below its directory, ``size`` in bytes."""

    path: str
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class Truth:
    """An item that the source offers, under the name by which a machine asks for it."""

    os: str
    arch: str
    subarch: str
    release: str
    label: str
    version: str
    filename: str
    sha256: str
    size: int


class SignedSource:
    """A source below ``directory``, signed by a key of its own.

    Args:
        directory: made if it is not there; ``origin.Origin`` serves it.
        keychain: where the key is made; one of its own, by default.
    """

    def __init__(self, directory: pathlib.Path, keychain: signing.Keychain | None = None) -> None:
        self.directory = directory
        self.keychain = keychain or signing.Keychain()
        self.key = self.keychain.new_key("A source <source@example.com>")
        directory.mkdir(parents=True, exist_ok=True)
        self.keyring = directory / "keyring.gpg"
        self.keyring.write_bytes(self.keychain.export([self.key]))
        (directory / "keyring.asc").write_bytes(self.keychain.export([self.key], armour=True))
        self._products: dict[str, dict[str, dict[str, Any]]] = {}
        self._ready: dict[str, bytes] = {}
        self._truth: list[Truth] = []

    def close(self) -> None:
        """Forget the key; what is published stays."""
        self.keychain.close()

    def __enter__(self) -> "SignedSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def truth(self) -> tuple[Truth, ...]:
        """Every item of every version that was added, in that order."""
        return tuple(self._truth)

    def add_payload(self, path: str, content: bytes | payloads.Payload) -> File:
        """Write a payload below the directory."""
        sha256, size = payloads.write(self.directory / path, content)
        return File(path, sha256, size)

    def add_product(
        self,
        document: str,
        key: str,
        tags: Mapping[str, str],
        version: str,
        items: Mapping[str, tuple[str, File]],
    ) -> None:
        """Add a version of a product; a product that is there already gets one more.

        Args:
            document: the content id of the product document it goes to.
            key: the product's, for example ``com.example:v3:boot:24.04:amd64:ga-24.04``.
            tags: ``os``, ``arch``, ``label`` and what else the product says of itself.
            version: for example ``20250718``.
            items: by name, the file type and the file.
        """
        products = self._products.setdefault(document, {})
        product = products.setdefault(key, {**tags, "versions": {}})
        product["versions"][version] = {
            "items": {
                name: {"ftype": ftype, **dataclasses.asdict(file)}
                for name, (ftype, file) in items.items()
            }
        }
        self._truth.extend(
            Truth(
                os=tags["os"],
                arch=tags["arch"],
                subarch=tags.get("subarch", "generic"),
                release=tags.get("bootloader-type") or tags["release"],
                label=tags["label"],
                version=version,
                filename=file.path.rpartition("/")[2],
                sha256=file.sha256,
                size=file.size,
            )
            for _, file in items.values()
        )

    def add_document(self, path: str, payload: bytes) -> None:
        """Add a ready document, such as a real one, to be signed as it is; ``path`` is ``.json``.

        With a document at ``INDEX`` no index is made.
        """
        self._ready[path] = payload

    def publish(self, updated: datetime.datetime | None = None) -> None:
        """Sign and write every document, dated ``updated`` (now, by default)."""
        moment = updated or units.utc_now()
        documents = self.documents(moment)
        for path, payload in {**documents, **self._ready}.items():
            self.write_document(path, payload)

    def documents(self, updated: datetime.datetime) -> dict[str, bytes]:
        """Return the documents of the products that were added, by their ``.json`` paths."""
        date = email.utils.format_datetime(updated.astimezone(datetime.UTC))
        made: dict[str, bytes] = {}
        index: dict[str, Any] = {}
        for content_id, products in self._products.items():
            path = f"streams/v1/{content_id}.json"
            common = {"datatype": "image-ids", "format": "products:1.0", "updated": date}
            made[path] = encode({**common, "content_id": content_id, "products": products})
            index[content_id] = {**common, "path": path, "products": sorted(products)}
        made[INDEX] = encode({"format": "index:1.0", "index": index, "updated": date})
        return made

    def write_document(self, path: str, payload: bytes) -> None:
        """Write one document, unsigned at ``path`` and signed beside it as ``.sjson``.

        Whoever reads one meanwhile gets the old document or the new one.
        """
        plain = self.directory / path
        plain.parent.mkdir(parents=True, exist_ok=True)
        for file, content in ((plain, payload), (plain.with_suffix(".sjson"), self.sign(payload))):
            aside = file.with_suffix(".new")
            aside.write_bytes(content)
            aside.replace(file)

    def sign(self, payload: bytes) -> bytes:
        """Return ``payload`` as a document that the source's key has clear-signed."""
        return self.keychain.clear_sign(payload, [self.key])


def encode(document: Mapping[str, Any]) -> bytes:
    """Return the JSON of a document as streams are written: sorted, one value a line."""
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def small_cloud(
    directory: pathlib.Path,
    size: int = 200 * units.MIB,
    seed: int = 0,
    version: str = "20250718",
) -> SignedSource:
    """Make and publish a source of about ``size`` bytes in the proportions of the real one.

    Two Ubuntu products share their squashfs, as ``ga`` and ``hwe`` kernels of a release do. The
    same ``size``, ``seed`` and ``version`` give the same payloads. ``truth`` of what is returned
    says what was made; ``add_version`` brings it to a newer one.
    """
    source = SignedSource(directory)
    add_version(source, version, size, seed)
    source.publish()
    return source


def add_version(source: SignedSource, version: str, size: int, seed: int = 0) -> None:
    """Add one version of each product of the small cloud; the caller publishes.

    ``size`` is what the version has in bytes; each payload gets its share and some odd bytes, so
    that the last block of most is not a whole one.
    """
    artist = _Artist(source, version, size, seed)
    artist.ubuntu("noble", "24.04", 30.0, ("ga-24.04", "hwe-24.04"))
    artist.ubuntu("jammy", "22.04", 24.0, ("ga-22.04",))
    artist.centos("8", 20.0)
    artist.bootloader("pxelinux", "pxe", "i386", {"syslinux": ("lpxelinux.0", "ldlinux.c32")})
    uefi = {"grub2-signed": ("grubx64.efi",), "shim-signed": ("bootx64.efi",)}
    artist.bootloader("grub-efi-signed", "uefi", "amd64", uefi)
    uefi = {"grub2-signed": ("grubaa64.efi",), "shim-signed": ("bootaa64.efi",)}
    artist.bootloader("grub-efi", "uefi", "arm64", uefi)
    artist.bootloader("grub-ieee1275", "open-firmware", "ppc64el", {"grub2": ("bootppc64.bin",)})


class _Artist:
    """Draws one version of the small cloud; shares are in hundredths of its size."""

    def __init__(self, source: SignedSource, version: str, size: int, seed: int) -> None:
        self._source = source
        self._version = version
        self._size = size
        self._seed = seed

    def ubuntu(self, release: str, number: str, share: float, subarches: Sequence[str]) -> None:
        """Draw one product for each of ``subarches``, with one squashfs for all of them."""
        top = f"{release}/amd64/{self._version}"
        squashfs = self._noise(f"{top}/squashfs", share)
        manifest = self._manifest(f"{top}/squashfs.manifest", release)
        for subarch in subarches:
            boot = f"{top}/{subarch}/generic"
            self._source.add_product(
                UBUNTU,
                f"com.example.maas.stable:v3:boot:{number}:amd64:{subarch}",
                {
                    "os": "ubuntu",
                    "arch": "amd64",
                    "subarch": subarch,
                    "subarches": f"generic,{subarch}",
                    "kflavor": "generic",
                    "krel": release,
                    "release": release,
                    "release_codename": release.capitalize(),
                    "release_title": f"{number} LTS",
                    "label": "stable",
                    "version": number,
                },
                self._version,
                {
                    "boot-initrd": ("boot-initrd", self._noise(f"{boot}/boot-initrd", share / 4)),
                    "boot-kernel": ("boot-kernel", self._noise(f"{boot}/boot-kernel", share / 16)),
                    "manifest": ("manifest", manifest),
                    "squashfs": ("squashfs", squashfs),
                },
            )

    def centos(self, release: str, share: float) -> None:
        """Draw one product whose image is one tarball."""
        top = f"centos/{release}/amd64/{self._version}"
        self._source.add_product(
            CENTOS,
            f"com.example.maas.stable:centos-bases:{release}:amd64",
            {
                "os": "centos",
                "arch": "amd64",
                "subarch": "generic",
                "subarches": "generic",
                "release": release,
                "release_title": f"CentOS {release}",
                "label": "stable",
                "version": release,
            },
            self._version,
            {
                "manifest": ("manifest", self._manifest(f"{top}/root-tgz.manifest", release)),
                "root-tgz": ("root-tgz", self._noise(f"{top}/root-tgz", share)),
            },
        )

    def bootloader(
        self, os: str, kind: str, arch: str, archives: Mapping[str, Sequence[str]]
    ) -> None:
        """Draw one bootloader: real archives, with members of noise."""
        items = {}
        for name, members in archives.items():
            content = {
                member: payloads.Payload(self._seeded(f"{arch}/{member}"), self._bytes(0.3)).read()
                for member in members
            }
            path = f"bootloaders/{kind}/{arch}/{self._version}/{name}.tar.xz"
            file = self._source.add_payload(path, payloads.archive(content))
            items[name] = ("archive.tar.xz", file)
        self._source.add_product(
            BOOTLOADERS,
            f"com.example.maas.stable:1:{os}:{kind}:{arch}",
            {"os": os, "arch": arch, "arches": arch, "bootloader-type": kind, "label": "stable"},
            self._version,
            items,
        )

    def _noise(self, path: str, share: float) -> File:
        payload = payloads.Payload(self._seeded(path), self._bytes(share))
        return self._source.add_payload(path, payload)

    def _manifest(self, path: str, release: str) -> File:
        lines = [f"package-{n}\t{n}.0-{self._seed}~{release}\n" for n in range(40)]
        return self._source.add_payload(path, "".join(lines).encode())

    def _bytes(self, share: float) -> int:
        return max(1, int(self._size * share / 100)) + int(share * 16) % 97

    def _seeded(self, path: str) -> str:
        return f"{self._seed}/{self._version}/{path}"

"""A region and a rack with some objects of given sizes, for benchmarks."""

import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence

from benchmarks import link as links
from boot_resources.demo import origin, payloads, signed_source, site


@dataclasses.dataclass(frozen=True)
class Cloud:
    """A running region and rack.

    Attributes:
        site: the processes.
        items: the files that were asked for, in that order.
        link: what stands between the rack and the region.
    """

    site: site.Site
    items: tuple[signed_source.File, ...]
    link: links.Link

    @property
    def rack_pid(self) -> int:
        """Process id of the rack."""
        return self.site.pid("rack")

    def url(self, item: signed_source.File) -> str:
        """Return where machines fetch a file."""
        return f"{self.site.rack_url}/images/{item.sha256}/x/{item.path}"

    def payload(self, item: signed_source.File) -> bytes:
        """Return the bytes of a file."""
        return payloads.Payload(item.path, item.size).read()


@contextlib.contextmanager
def cloud(
    directory: pathlib.Path, sizes: Sequence[int], rate: float = float("inf")
) -> Iterator[Cloud]:
    """Run a region that holds objects of these sizes, and a cold rack behind a link."""
    directory.mkdir(parents=True)
    source = signed_source.SignedSource(directory / "source")
    items = []
    for number, size in enumerate(sizes):
        path = f"noble/object-{number}"
        items.append(source.add_payload(path, payloads.Payload(path, size)))
    source.add_product(
        signed_source.UBUNTU,
        "com.example:v3:boot:24.04:amd64:ga-24.04",
        {
            "os": "ubuntu",
            "arch": "amd64",
            "subarch": "ga-24.04",
            "release": "noble",
            "label": "stable",
            "kflavor": "generic",
        },
        "20251101",
        {f"item-{n}": ("root-tgz", item) for n, item in enumerate(items)},
    )
    source.publish()
    with contextlib.ExitStack() as stack:
        stack.callback(source.close)
        upstream = stack.enter_context(origin.Origin(source.directory))
        wishes = site.Wishes(upstream.url, source.keyring, [("*", "*", "*")])
        running = stack.enter_context(site.Site(directory / "site", wishes))
        running.start("region")
        running.wait_until_available(1)
        link = stack.enter_context(links.Link(_plane_port(running), rate).open())
        rack_settings = running.settings("rack")
        text = re.sub(
            r"regions = .*", f'regions = ["127.0.0.1:{link.port}"]', rack_settings.read_text()
        )
        rack_settings.write_text(text)
        running.start("rack")
        running.wait_until_listed(1)
        yield Cloud(running, tuple(items), link)


def _plane_port(running: site.Site) -> int:
    match = re.search(r'address = "127.0.0.1:(\d+)"', running.settings("region").read_text())
    assert match is not None
    return int(match[1])

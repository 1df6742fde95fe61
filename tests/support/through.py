"""All the way through: a source, a real region, a real rack, and every file fetched by name."""

import pathlib
from collections.abc import Sequence

from boot_resources.demo import machines, origin, signed_source, site


def fetch_everything(
    directory: pathlib.Path,
    source: signed_source.SignedSource,
    selections: Sequence[tuple[str, str, str]],
    expected: dict[str, tuple[str, int]],
    images: int,
) -> None:
    """Check that exactly ``expected`` comes through, each byte once.

    Args:
        directory: for the site.
        source: published already.
        selections: what the region selects.
        expected: sha256 and bytes of each versionless name ``os/arch/subarch/release/label/file``.
        images: how many images these are.
    """
    with (
        origin.Origin(source.directory) as upstream,
        site.Site(directory, site.Wishes(upstream.url, source.keyring, selections)) as cloud,
    ):
        cloud.start("region")
        cloud.wait_until_available(images)
        cloud.start("rack")
        cloud.wait_until_listed(images)
        menu = [
            machines.Wanted(f"/images/{name}", sha256, size)
            for name, (sha256, size) in expected.items()
        ]
        (boot,) = machines.boot_all(cloud.rack_url, [menu], lambda count: None)
        listed = cloud.rack.get("/images")
        objects = dict(expected.values())
        assert boot.wrong == ()
        assert boot.received == sum(size for _, size in expected.values())
        assert upstream.payload_bytes == sum(objects.values())
        assert cloud.rack.get("/status")["cache"]["fill_bytes"] == sum(objects.values())
        assert sum(len(image["items"]) for image in listed["images"]) == len(expected)

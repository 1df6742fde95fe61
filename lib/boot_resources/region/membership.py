"""A region and its cluster: the catalog, the store and what the settings file declares.

``join`` can be repeated at any time: it makes this region a member and states what its disk holds.
``declare`` makes the catalog equal the settings file; the region that leads does it.
"""

import logging
import socket
from collections.abc import Collection, Iterable

import sqlalchemy as sa

from boot_resources import errors, notices
from boot_resources.catalog import (
    availability,
    cluster,
    database,
    holdings,
    images,
    migrations,
    sources,
)
from boot_resources.settings import region as region_settings
from boot_resources.store import identity, storage

logger = logging.getLogger(__name__)
SCOPE = "catalog"
"""The scope of notices about what the catalog says."""


def prepare(catalog: database.Catalog) -> str:
    """Bring the catalog's schema up to date and return the cluster's identity.

    Raises:
        errors.BootResourcesError: the catalog is not to be had, or is newer than this version.
    """
    migrations.migrate(catalog)
    with catalog.read() as conn:
        return cluster.identity(conn).uuid


def join(
    catalog: database.Catalog, store: storage.Storage, settings: region_settings.RegionSettings
) -> None:
    """Make this region a member that holds what its disk holds.

    An object of which another region proved something else is held no longer; it does not keep
    the others, and the region, away.

    Raises:
        errors.BootResourcesError: the catalog is not to be had or refuses.
    """
    while True:
        try:
            _join(catalog, store, settings)
        except holdings.MapDisagreement as error:
            store.give_up(error.sha256, str(error))
        else:
            return


def _join(
    catalog: database.Catalog, store: storage.Storage, settings: region_settings.RegionSettings
) -> None:
    address = settings.plane.address or f"{socket.getfqdn()}:{settings.plane.port}"
    proofs = [
        holdings.Proof(sha256, proof.size, proof.map_digest)
        for sha256, proof in store.held().items()
    ]
    with catalog.write() as conn:
        if cluster.join(conn, settings.name, address):
            logger.info("joined the cluster as %s", settings.name)
        holdings.state(conn, settings.name, proofs)
        availability.refresh(conn)


def declare(conn: sa.Connection, settings: region_settings.RegionSettings) -> None:
    """Make the catalog equal what the settings file declares; the leader does it.

    Where neither file nor command ever named a source, the seeds' one is set, if its keyring is
    here.
    """
    nobody_named_one = settings.source is None and sources.get_source(conn) is None
    if nobody_named_one and region_settings.UBUNTU_KEYRING.is_file():
        sources.set_source(conn, _seed_source())
    sources.declare(conn, _source(settings), _selections(settings))


def _source(settings: region_settings.RegionSettings) -> sources.Source | None:
    if settings.source is None:
        return None
    return sources.Source(
        settings.source.url, settings.source.keyring_bytes(), settings.source.allow_unsigned
    )


def _seed_source() -> sources.Source:
    keyring = region_settings.UBUNTU_KEYRING.read_bytes()
    return sources.Source(region_settings.SEED_SOURCE, keyring)


def _selections(
    settings: region_settings.RegionSettings,
) -> Collection[sources.Selection] | None:
    if settings.selections is None:
        return None
    return [
        sources.Selection(s.os, s.release, s.arches, s.subarches, s.labels)
        for s in settings.selections
    ]


def state_of_catalog(catalog: database.Catalog) -> list[notices.Notice]:
    """Return what an operator should know of the catalog as it is.

    Raises:
        errors.BootResourcesError: the catalog is not to be had.
    """
    with catalog.read() as conn:
        source = sources.get_source(conn)
        selections = sources.list_selections(conn)
        withdrawn = availability.withdrawn_objects(conn)
        dropped = [str(image.name) for image in images.listing(conn) if image.dropped]
    return list(_notices(source, selections, dropped, withdrawn))


def _notices(
    source: sources.ManagedSource | None,
    selections: Collection[sources.Selection],
    dropped: Collection[str],
    withdrawn: dict[str, str],
) -> Iterable[notices.Notice]:
    if source is not None and source.source.allow_unsigned:
        yield notices.Notice(
            "unsigned",
            notices.Severity.WARNING,
            "the boot source is read without signatures: whoever can change what it sends "
            "decides what machines run",
            "give the source a keyring and remove allow-unsigned",
        )
    if source is not None and not selections:
        yield notices.Notice(
            "no-selection",
            notices.Severity.INFO,
            "nothing is selected, so only bootloaders are fetched",
            "select images, for example: boot-resources selections add ubuntu noble --arch amd64",
        )
    if dropped:
        yield notices.Notice(
            "dropped",
            notices.Severity.INFO,
            f"the boot source no longer offers {len(dropped)} images that are kept: "
            + ", ".join(sorted(dropped)[:3]),
            "`boot-resources images remove` takes one out when nobody needs it",
        )
    for sha256, reason in withdrawn.items():
        yield notices.Notice(
            f"withdrawn-{sha256[:12]}",
            notices.Severity.CRITICAL,
            f"object {sha256[:12]} is withdrawn: {reason}",
            "run `boot-resources verify` on every region",
        )


def unreachable(error: errors.BootResourcesError) -> notices.Notice:
    """Return the notice for a catalog that is not to be had."""
    return notices.Notice(
        "unreachable",
        notices.Severity.CRITICAL,
        f"{error}; what is available goes on being served, nothing new is fetched",
        error.cure or "check the database; the region goes on by itself",
    )


def refused(error: errors.BootResourcesError) -> notices.Notice:
    """Return the notice for a catalog that is there and cannot be used, in its own words."""
    return notices.Notice(
        "refused",
        notices.Severity.CRITICAL,
        f"{error}; what is available goes on being served, nothing new is fetched",
        error.cure,
    )


def about_owner(
    error: identity.AnotherCluster, catalog: database.Catalog
) -> identity.ForeignDirectory:
    """Return the refusal of a store of another cluster; it is told apart where the catalog is new.

    Raises:
        errors.BootResourcesError: the catalog is not to be had.
    """
    with catalog.read() as conn:
        if cluster.members(conn) or images.listing(conn):
            return error
    return identity.ForeignDirectory(
        f"the store {error.root} belongs to cluster {error.owner}, and the catalog "
        f"{catalog.name} is new and empty",
        "restore that cluster's catalog, or point catalog.url to it; or begin anew: point "
        f"storage.path to an empty directory, {identity.ADOPT}; nothing was touched",
    )

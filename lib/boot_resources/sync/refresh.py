"""The leader's part: read the boot source, and make the catalog follow what it offers.

What the source says is judged in ``source``, what it means for the images in ``catalog``; here the
one is carried to the other. A source that is unreachable or refused changes nothing: the last good
documents stay in force.
"""

import dataclasses
import datetime
import logging
from collections.abc import Callable, Collection, Mapping

import sqlalchemy as sa

from boot_resources import units
from boot_resources.catalog import (
    availability,
    database,
    documents,
    images,
    leases,
    names,
    planning,
    sources,
    wanting,
)
from boot_resources.source import address, fetch, guard, keyring, reading, select, stream

logger = logging.getLogger(__name__)
LEADER = "leader"
LEASE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """What a reading of the source brought.

    Attributes:
        reading: what became of each document; None where there is no source.
        problems: what of the source is not used, and why.
        plan: what changed in the catalog; None where nothing could be judged.
        lacking: what is selected and cannot be had as the source gives it.
        idle: selections that match nothing of what the source offers.
        lowered: documents whose guard an operator lowered, and no document has come since; why.
    """

    reading: reading.Reading | None
    problems: tuple[stream.Problem, ...]
    plan: planning.Plan | None
    lacking: tuple[stream.Problem, ...] = ()
    idle: tuple[select.Selection, ...] = ()
    lowered: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def brought_news(self) -> bool:
        """Whether a document changed since the last reading."""
        return self.reading is not None and any(
            document.outcome is reading.Outcome.NEW for document in self.reading.documents
        )

    @property
    def unreachable(self) -> bool:
        """Whether a document could not be had, so that asking again soon may help."""
        return self.reading is not None and any(
            document.outcome is reading.Outcome.UNREACHABLE for document in self.reading.documents
        )


Declare = Callable[[sa.Connection], None]
"""Makes the catalog equal what the settings file declares."""


def refresh(
    catalog: database.Catalog,
    fetcher: fetch.Fetcher,
    region: str,
    declare: Declare,
    max_age: datetime.timedelta = reading.DEFAULT_MAX_AGE,
) -> Refreshed | None:
    """Read the source and make the catalog follow it; None where another region leads.

    Args:
        catalog: what exists.
        fetcher: how the source is reached.
        region: who reads it.
        declare: called first, in the same transaction that asks what the source is.
        max_age: a document that was published longer ago is stale.

    Raises:
        errors.BootResourcesError: the catalog is not to be had, or the source's settings are bad.
    """
    with catalog.write() as conn:
        if leases.acquire(conn, LEADER, region, LEASE_SECONDS) is None:
            return None
        declare(conn)
        managed = sources.get_source(conn)
        if managed is None:
            return Refreshed(None, (), None)
        accepted = accepted_before(conn, managed)
        lowered = documents.lowered(conn, managed.id)
    found = reading.read(
        boot_source(managed.source),
        fetcher,
        accepted,
        units.utc_now(),
        max_age=max_age,
        lowered=frozenset(lowered),
    )
    with catalog.write() as conn:
        # Reading may have taken longer than the lease.
        if leases.acquire(conn, LEADER, region, LEASE_SECONDS) is None:
            return None
        if sources.get_source(conn) != managed:
            # Somebody set another source meanwhile; what the old one said must not guard it.
            return None
        _record(conn, managed.id, found.documents, accepted, lowered)
        return _follow(conn, managed.id, found)


def boot_source(source: sources.Source) -> reading.BootSource:
    """Return the catalog's source as the reader wants it.

    Raises:
        errors.SettingsError: the keyring or the URL cannot be used.
    """
    keys = None
    if source.keyring is not None:
        keys = keyring.Keyring(source.keyring, address.without_credentials(source.url))
    return reading.BootSource(source.url, keys, source.allow_unsigned)


def accepted_before(
    conn: sa.Connection, managed: sources.ManagedSource
) -> dict[str, guard.Accepted]:
    """Return the documents of a source that were accepted, by path."""
    return {
        path: guard.Accepted(
            updated=document.updated,
            sha256=document.sha256,
            validators=fetch.Validators(document.etag, document.last_modified),
            payload=document.payload,
        )
        for path, document in documents.accepted(conn, managed.id).items()
    }


def _record(
    conn: sa.Connection,
    source_id: int,
    read: Collection[reading.DocumentReading],
    before: Mapping[str, guard.Accepted],
    lowered: Mapping[str, str],
) -> None:
    for document in read:
        if document.accepted is None:
            continue
        documents.record(conn, source_id, _remembered(document.path, document.accepted))
        if document.path in lowered:
            logger.warning(
                "%s of %s is accepted in place of that of %s, and its guard is raised again: %s",
                document.path,
                document.accepted.updated,
                before[document.path].updated,
                lowered[document.path],
            )


def _remembered(path: str, accepted: guard.Accepted) -> documents.Document:
    return documents.Document(
        path=path,
        updated=accepted.updated,
        sha256=accepted.sha256,
        etag=accepted.validators.etag,
        last_modified=accepted.validators.last_modified,
        payload=accepted.payload,
    )


def _follow(conn: sa.Connection, source_id: int, found: reading.Reading) -> Refreshed:
    selections = [
        select.Selection(s.os, s.release, s.arches, s.subarches, s.labels)
        for s in sources.list_selections(conn)
    ]
    choice = select.choose(found.products, selections)
    problems = (*found.problems, *choice.problems)
    by_name = {_product_name(product): product for product in found.products}
    offered = set(by_name)
    if not found.complete:
        # What cannot be read now must not be taken for withdrawn.
        offered |= {image.name.product for image in images.listing(conn)}

    def selected(name: names.ProductName, bootloader_type: str | None) -> bool:
        if bootloader_type:
            return True
        product = by_name.get(name)
        if product is None:
            return any(_may_select(selection, name) for selection in selections)
        return any(selection.matches(product) for selection in selections)

    plan = wanting.want(conn, source_id, map(_image, choice.wanted), offered, selected)
    availability.refresh(conn)
    idle = tuple(each for each in selections if not any(map(each.matches, found.products)))
    return Refreshed(
        found,
        problems,
        plan,
        lacking=choice.lacking,
        idle=idle if found.complete else (),
        lowered=documents.lowered(conn, source_id),
    )


def _product_name(product: stream.Product) -> names.ProductName:
    return names.ProductName(
        product.os, product.arch, product.subarch, product.release, product.label
    )


def _may_select(selection: select.Selection, name: names.ProductName) -> bool:
    """Return whether a product that the source no longer offers may have been selected.

    Which subarchitectures it served is no longer known, so that filter is not held against it:
    an image that a source drops stays until an operator removes it.
    """
    product = stream.Product(
        key="",
        os=name.os,
        arch=name.arch,
        subarch=name.subarch,
        release=name.release,
        label=name.label,
        title="",
        kflavor="",
        bootloader_type="",
        extra={},
        versions=(),
    )
    return dataclasses.replace(selection, subarches=()).matches(product)


def _image(wanted: select.Wanted) -> planning.WantedImage:
    product = names.ProductName(
        wanted.os, wanted.arch, wanted.subarch, wanted.release, wanted.label
    )
    return planning.WantedImage(
        name=names.ImageName(product, wanted.version),
        items=tuple(
            planning.WantedItem(
                item.filename, item.ftype, item.path, item.sha256, item.size, dict(item.extra)
            )
            for item in wanted.items
        ),
        product=wanted.key,
        title=wanted.title,
        bootloader_type=wanted.bootloader_type or None,
        extra=dict(wanted.extra),
    )

"""One reading of a source: the index, then each product document it lists, in this order::

    fetch -> verify -> parse -> guard -> in force

A document is in force only when it has passed all four. One that cannot be had, or is refused,
leaves the one that was accepted before in force, and does not stop the others. Nothing is
remembered here: what was accepted comes in with the call, what is accepted now goes out with the
result, and whoever calls records it.

The documents of a stream do not say until when they hold. Whoever holds back the newer ones is
found out by their age alone: what is in force and was published long ago is *stale*, whether the
source still sends it or cannot be reached.
"""

import dataclasses
import datetime
import enum
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from boot_resources import errors
from boot_resources.source import (
    address,
    document,
    failures,
    fetch,
    guard,
    keyring,
    quoting,
    stream,
)

DATATYPE = "image-ids"
MAX_DOCUMENTS = 256
"""How many documents an index may list; a real one lists three."""
DEFAULT_MAX_AGE = datetime.timedelta(days=90)

Accepted = guard.Accepted
Parsed = TypeVar("Parsed", stream.Index, stream.Products)


class DocumentFetcher(Protocol):
    """What a reading needs of a ``fetch.Fetcher``."""

    def get_document(
        self, url: str, *, known: fetch.Validators | None = None
    ) -> fetch.Fetched | fetch.NotModified:
        """Return the document at ``url``, or that it is the known one."""


@dataclasses.dataclass(frozen=True)
class BootSource:
    """Where images come from, and who must have signed what is said about them.

    Attributes:
        url: of the source (see ``address.locate``); may hold credentials.
        keyring: its own keys.
        allow_unsigned: read the unsigned documents. Then nothing proves where images come from.

    Raises:
        errors.SettingsError: there is neither a keyring nor the permission to go without, or both.
    """

    url: str = dataclasses.field(repr=False)
    keyring: keyring.Keyring | None
    allow_unsigned: bool = False

    def __post_init__(self) -> None:
        if self.keyring is None and not self.allow_unsigned:
            raise errors.SettingsError(
                f"the source {address.without_credentials(self.url)} has no keyring",
                "name its keyring, or set allow-unsigned = true where nobody can interfere",
            )
        if self.keyring is not None and self.location.index.endswith(".json"):
            raise errors.SettingsError(
                f"{address.without_credentials(self.url)} names an index that is not signed",
                "name the .sjson document, or remove the keyring and allow unsigned documents",
            )

    @property
    def location(self) -> address.Location:
        """Where its documents and payloads are."""
        return address.locate(self.url, signed=self.keyring is not None)


class Outcome(enum.Enum):
    """What became of one document."""

    NEW = "new"
    """It differs from what was accepted before, and is in force now."""
    UNCHANGED = "unchanged"
    """It is what was accepted before."""
    REFUSED = "refused"
    """It came, and is not acceptable; what was accepted before stays in force."""
    UNREACHABLE = "unreachable"
    """It could not be fetched within the limits; what was accepted before stays in force."""


@dataclasses.dataclass(frozen=True)
class DocumentReading:
    """What became of one document.

    Attributes:
        path: the document's, below the source: the key for what is remembered.
        outcome: see ``Outcome``.
        accepted: what to remember; None where there is nothing new to remember.
        error: why, where it was refused or unreachable.
        age: how long before now the document in force was published; None where none is.
    """

    path: str
    outcome: Outcome
    accepted: Accepted | None = None
    error: errors.BootResourcesError | None = None
    age: datetime.timedelta | None = None


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a source offers now.

    Attributes:
        documents: the index first, then the product documents in its order.
        products: of every document in force.
        problems: what is left out, and why.
        stale: how long before now the documents in force were published, by path, of those that
            are older than a source that is well would let them become.
        complete: whether the index and every document that it lists are in force. Otherwise
            ``products`` may lack some, and what it lacks must not be taken for withdrawn.
    """

    documents: tuple[DocumentReading, ...]
    products: tuple[stream.Product, ...]
    problems: tuple[stream.Problem, ...]
    stale: Mapping[str, datetime.timedelta]
    complete: bool

    @property
    def errors(self) -> tuple[errors.BootResourcesError, ...]:
        """Why documents were refused or unreachable."""
        return tuple(found.error for found in self.documents if found.error is not None)


def read(
    source: BootSource,
    fetcher: DocumentFetcher,
    accepted: Mapping[str, Accepted],
    now: datetime.datetime,
    *,
    max_age: datetime.timedelta = DEFAULT_MAX_AGE,
    lowered: frozenset[str] = frozenset(),
) -> Reading:
    """Read ``source`` once.

    Args:
        source: what to read.
        fetcher: how documents are fetched.
        accepted: the documents that were accepted before, by path.
        now: this host's clock, in UTC.
        max_age: a document older than this is stale; it is not refused.
        lowered: the paths of documents for which an operator lowered the guard once.

    Raises:
        errors.SettingsError: the URL or the keyring cannot be used. Everything that is wrong with
            the source itself is in the result.
    """
    return _Reader(source, fetcher, accepted, now, max_age, lowered).read()


class _Reader:
    """One reading in progress."""

    def __init__(
        self,
        source: BootSource,
        fetcher: DocumentFetcher,
        accepted: Mapping[str, Accepted],
        now: datetime.datetime,
        max_age: datetime.timedelta,
        lowered: frozenset[str],
    ) -> None:
        self._source = source
        self._location = source.location
        self._fetcher = fetcher
        self._accepted = accepted
        self._now = now
        self._max_age = max_age
        self._lowered = lowered
        self._documents: list[DocumentReading] = []
        self._problems: list[stream.Problem] = []
        self._ages: dict[str, datetime.timedelta] = {}
        self._sizes: dict[str, int] = {}

    def read(self) -> Reading:
        index = self._document(self._location.index, stream.parse_index, _check_index)
        unreachable = self._documents[0].outcome is Outcome.UNREACHABLE
        products: list[stream.Product] = []
        complete = index is not None
        for path, entry in self._listed(index) if index is not None else ():
            # A server that is down need not be waited for once more for each document.
            read = self._last if unreachable else self._document
            found = read(path, stream.parse_products, self._products_check(entry))
            if found is None:
                complete = False
                continue
            self._sizes.update(_sizes(found))
            products.extend(found.products)
            self._problems.extend(found.problems)
        stale = {path: age for path, age in self._ages.items() if age > self._max_age}
        return Reading(
            tuple(self._documents), tuple(products), tuple(self._problems), stale, complete
        )

    def _listed(self, index: stream.Index) -> list[tuple[str, stream.IndexEntry]]:
        """Return the product documents of the index with the paths under which they are had."""
        listed: dict[str, stream.IndexEntry] = {}
        for entry in index.entries:
            path = self._path(entry)
            if entry.datatype != DATATYPE or entry.format != stream.PRODUCTS_FORMAT:
                kind = f"{entry.datatype or 'nothing'} as {entry.format or 'no format'}"
                text = f"it holds {quoting.shown(kind)}, which is not for us"
                self._problem(entry.content_id, text)
            elif path is None:
                self._problem(entry.content_id, f"its path {entry.path} does not end in .json")
            elif path in listed:
                other = quoting.shown(listed[path].content_id)
                text = f"its path {path} is that of {other} too"
                self._problem(entry.content_id, text)
            else:
                listed[path] = entry
        return list(listed.items())

    def _path(self, entry: stream.IndexEntry) -> str | None:
        """Return the path of the signed document where the source is a signed one."""
        stem, dot, suffix = entry.path.rpartition(".")
        if not dot or suffix not in ("json", "sjson"):
            return None
        return f"{stem}.{'json' if self._source.keyring is None else 'sjson'}"

    def _document(
        self,
        path: str,
        parse: Callable[[str, bytes], Parsed],
        check: Callable[[str, Parsed], None],
    ) -> Parsed | None:
        """Ask for a document, note what became of it, and return what is in force now."""
        last = self._accepted.get(path)
        try:
            now_in_force = self._fetch(path, last, parse, check)
        except failures.FetchError as error:
            self._note(path, Outcome.UNREACHABLE, error=error)
        except document.DocumentRefused as error:
            self._note(path, Outcome.REFUSED, error=error)
        else:
            return now_in_force
        return self._last(path, parse, check)

    def _fetch(
        self,
        path: str,
        last: Accepted | None,
        parse: Callable[[str, bytes], Parsed],
        check: Callable[[str, Parsed], None],
    ) -> Parsed:
        lowered = path in self._lowered
        known = None if last is None or lowered else last.validators
        fetched = self._fetcher.get_document(self._location.url(path), known=known)
        if isinstance(fetched, fetch.NotModified):
            assert last is not None
            parsed = parse(path, last.payload)
            check(path, parsed)
            self._note(path, Outcome.UNCHANGED, updated=last.updated)
            return parsed
        payload = fetched.body
        if self._source.keyring is not None:
            payload = self._source.keyring.verify(payload, path)
        parsed = parse(path, payload)
        check(path, parsed)
        accepted = guard.accept(
            path,
            payload,
            parsed.updated,
            fetched.validators,
            last=last,
            now=self._now,
            lowered=lowered,
        )
        same = last is not None and last.sha256 == accepted.sha256
        outcome = Outcome.UNCHANGED if same else Outcome.NEW
        # A guard that was lowered is raised by whatever comes next, news or not.
        known_already = accepted == last and not lowered
        self._note(path, outcome, accepted=None if known_already else accepted)
        return parsed

    def _last(
        self,
        path: str,
        parse: Callable[[str, bytes], Parsed],
        check: Callable[[str, Parsed], None],
    ) -> Parsed | None:
        """Return what was accepted before, or None; this code may not accept it any more."""
        last = self._accepted.get(path)
        if last is None:
            return None
        try:
            parsed = parse(path, last.payload)
            check(path, parsed)
        except document.DocumentRefused as error:
            self._problems.append(stream.Problem(path, f"what was accepted before: {error}"))
            return None
        self._ages[path] = self._now - last.updated
        return parsed

    def _products_check(self, entry: stream.IndexEntry) -> Callable[[str, stream.Products], None]:
        def check(path: str, products: stream.Products) -> None:
            if products.content_id != entry.content_id:
                is_now, should_be = map(quoting.shown, (products.content_id, entry.content_id))
                why = f"is {is_now!r}; the index says {should_be!r}"
                raise document.DocumentRefused(path, why, "content_id")
            for sha256, size in _sizes(products).items():
                if self._sizes.get(sha256, size) != size:
                    why = f"the sha256 {sha256} has two sizes, {self._sizes[sha256]} and {size}"
                    raise document.DocumentRefused(path, why)

        return check

    def _note(
        self,
        path: str,
        outcome: Outcome,
        *,
        accepted: Accepted | None = None,
        updated: datetime.datetime | None = None,
        error: errors.BootResourcesError | None = None,
    ) -> None:
        in_force = accepted or self._accepted.get(path)
        updated = updated or (in_force.updated if in_force else None)
        age = None if updated is None else self._now - updated
        if age is not None:
            self._ages[path] = age
        self._documents.append(DocumentReading(path, outcome, accepted, error, age))

    def _problem(self, content_id: str, text: str) -> None:
        place = f"{self._location.index}, index / {quoting.shown(content_id)}"
        self._problems.append(stream.Problem(place, text))


def _check_index(path: str, index: stream.Index) -> None:
    if len(index.entries) > MAX_DOCUMENTS:
        why = f"it lists {len(index.entries)} documents; the limit is {MAX_DOCUMENTS}"
        raise document.DocumentRefused(path, why)


def _sizes(products: stream.Products) -> dict[str, int]:
    return {
        item.sha256: item.size
        for product in products.products
        for version in product.versions
        for item in version.items
    }

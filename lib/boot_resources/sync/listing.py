"""What the boot source lists, selected or not, by the documents that were accepted last.

Nobody is asked, and nothing is fetched: a document that this code would no longer accept is passed
over.
"""

import contextlib

import sqlalchemy as sa

from boot_resources.catalog import documents, sources
from boot_resources.source import document, select, stream


def offered(conn: sa.Connection) -> frozenset[str]:
    """Return the sha256 of every object that would be wanted if everything were selected."""
    managed = sources.get_source(conn)
    if managed is None:
        return frozenset()
    products: list[stream.Product] = []
    for path, known in documents.accepted(conn, managed.id).items():
        # The index is refused here, too: it lists documents and no products.
        with contextlib.suppress(document.DocumentRefused):
            products += stream.parse_products(path, known.payload).products
    everything = select.choose(products, [select.Selection(select.ANY, select.ANY)])
    return frozenset(item.sha256 for each in everything.wanted for item in each.items)

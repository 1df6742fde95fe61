"""``store adopt`` without a directory: whose a region's storage is, and whose it would become.

Always true: no region runs on that storage, so this is the one place where the command opens the
catalog itself. Nothing is changed but the schema of a catalog that is new or old.
"""

import contextlib
import dataclasses
import pathlib

from boot_resources.catalog import database, images
from boot_resources.region import membership
from boot_resources.settings import region as region_settings
from boot_resources.store import identity, takeover


@dataclasses.dataclass(frozen=True)
class Question:
    """What an operator is shown before a takeover.

    Attributes:
        root: the store.
        survey: what it is.
        catalog: the catalog's name.
        cluster: the cluster's UUID.
        images: how many images the catalog knows.
    """

    root: pathlib.Path
    survey: takeover.Survey
    catalog: str
    cluster: str
    images: int

    @property
    def is_ours(self) -> bool:
        """Whether the store belongs to the cluster already."""
        return self.survey.found.owner == self.cluster


def ask(settings: region_settings.RegionSettings) -> Question:
    """Look at the store and the catalog that the settings name.

    Raises:
        errors.BootResourcesError: a region runs on it, the directory is no store, or the catalog
            cannot be used.
    """
    root = settings.storage.path
    survey = takeover.survey(root)
    catalog = database.open_catalog(settings.catalog.url)
    with contextlib.closing(catalog), identity.alone(root, identity.store_of("")):
        cluster = membership.prepare(catalog)
        with catalog.read() as conn:
            known = len(images.listing(conn))
        return Question(root, survey, catalog.name, cluster, known)

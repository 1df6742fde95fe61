"""The documents that cross the plane port, version 1.

Every message is JSON. A reader ignores a field it does not know, so that controllers of two
neighbouring minor versions understand one another; a field is never given a new meaning.
"""

import pydantic

from boot_resources import digests

PROTOCOL = 1
"""The version in every path of the plane port (``/v1/...``)."""


class Message(pydantic.BaseModel):
    """The base of all messages: immutable, and deaf to what a newer controller adds."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class AvailableItem(Message):
    """One file of an available image.

    Attributes:
        filename: the last segment of its URL, for example ``boot-kernel``.
        ftype: its type in the stream, for example ``boot-kernel`` or ``root-tgz``.
        sha256: the object that holds its bytes.
        size: bytes.
        map_digest: sha256 of the object's block map, as the first region that proved the
            object recorded it; a map that differs is refused.
    """

    filename: str
    ftype: str
    sha256: str
    size: int = pydantic.Field(ge=0)
    map_digest: str

    @pydantic.field_validator("sha256", "map_digest")
    @classmethod
    def _is_sha256(cls, value: str) -> str:
        return digests.check_sha256(value)


class AvailableImage(Message):
    """An image that every member has proved, by the name machines ask for."""

    os: str
    arch: str
    subarch: str
    release: str
    label: str
    version: str
    title: str = ""
    items: tuple[AvailableItem, ...]


class AvailableImages(Message):
    """All available images, as of one epoch of one cluster.

    Attributes:
        cluster: the cluster's identity, a UUID.
        epoch: raised with every change; a reader asks for what is newer than the epoch it has.
        images: every available image; where one name has several versions, the newest of them
            comes first.
        withheld: whether there are none because a migration has to succeed first.
    """

    cluster: str
    epoch: int
    images: tuple[AvailableImage, ...]
    withheld: bool = False


class Health(Message):
    """What ``GET /v1/health`` of a region answers."""

    name: str
    version: str
    cluster: str
    serving: bool
    notices: int

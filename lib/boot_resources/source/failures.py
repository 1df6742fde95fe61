"""Why bytes could not be had from a source: named, few, each with the URL and a cure.

A URL in a message has lost its user name and password, and a query that a redirect gave it, which
may hold a token: messages reach logs and status pages.
"""

import re

from boot_resources import errors
from boot_resources.source import quoting

_LONGEST = 500
"""Characters of a URL, and of what happened, in a message."""
_QUERY = re.compile(r"(?<=\S)\?\S+")
_CURE = "check the source, the network and the proxy; what is there goes on being served"


class FetchError(errors.BootResourcesError):
    """Something could not be fetched.

    Attributes:
        url: what was asked for, without credentials.
        what: what happened.
        transient: whether asking again may help.
        retry_after: seconds that the server asked us to wait, where it did.
    """

    transient = False

    def __init__(self, url: str, what: str, cure: str = _CURE) -> None:
        place, happened = (
            quoting.shown(_QUERY.sub("?...", text), _LONGEST) for text in (url, what)
        )
        super().__init__(f"{place}: {happened}", cure)
        self.url = url
        self.what = what
        self.retry_after: float | None = None


class Cancelled(errors.BootResourcesError):
    """Whoever asked is about to stop; this says nothing of the source."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url} was not read to its end: the controller stops")


class SourceUnreachable(FetchError):
    """No connection, no answer in time, or an answer that says "not now" (408, 425, 429, 5xx)."""

    transient = True


class SourceUntrusted(FetchError):
    """The server's TLS certificate is not one that this host trusts."""


class SourceRefused(FetchError):
    """The server refuses what was asked: any other 4xx."""


class BadReply(FetchError):
    """The server's answer does not fit the question, the stream, or HTTP."""


class RedirectRefused(FetchError):
    """The server sends us where the operator's URL does not let it."""


class TooLarge(FetchError):
    """The server sends more than may be sent."""


class TooSlow(FetchError):
    """The server sends so slowly that it may as well not send."""


class Interrupted(FetchError):
    """The body ended, or stopped, before its end: what was read is good, go on from there.

    Attributes:
        received: bytes that were read of this reply.
    """

    transient = True

    def __init__(self, url: str, what: str, received: int) -> None:
        super().__init__(url, what)
        self.received = received

"""What a server's answer says, held against what was asked; no body is read here."""

import dataclasses
import re

import requests

from boot_resources.source import failures

_NOT_NOW = frozenset({408, 425, 429})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,18}")
_VALIDATOR = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,510}")


@dataclasses.dataclass(frozen=True)
class Validators:
    """What a server calls this state of a resource, so that we can ask whether it is the same."""

    etag: str | None = None
    last_modified: str | None = None

    @property
    def if_range(self) -> str | None:
        """The value for ``If-Range``: a strong ETag, or else the date (RFC 9110, 13.1.5)."""
        strong = self.etag is not None and not self.etag.startswith("W/")
        return self.etag if strong else self.last_modified


def check_status(shown: str, reply: requests.Response) -> None:
    """Refuse an answer that says no.

    Raises:
        failures.SourceUnreachable: not now: 408, 425, 429 and everything from 500.
        failures.SourceRefused: any other 4xx.
        failures.BadReply: the body is encoded, though we asked that it is not.
    """
    status = reply.status_code
    if status in _NOT_NOW or status >= 500:
        error = failures.SourceUnreachable(shown, f"it answers {status}: not now")
        error.retry_after = _retry_after(reply)
        raise error
    if status >= 400:
        cure = "check the URL of the source, and what it offers"
        raise failures.SourceRefused(shown, f"it answers {status}", cure)
    encoding = reply.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise failures.BadReply(shown, f"it sends the encoding {encoding[:40]!r}, which we refuse")


def placed(
    shown: str, reply: requests.Response, start: int, stop: int, size: int
) -> tuple[int, int]:
    """Return the ``[first, last)`` of the payload that the reply's body holds.

    Raises:
        failures.BadReply: it is not what was asked for, nor the whole payload.
    """
    length = content_length(reply)
    if reply.status_code == 200:
        first, last = 0, size
    elif reply.status_code == 206 and (start, stop) != (0, size):
        match = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        if match is None:
            raise failures.BadReply(shown, "it sends a part and does not say which")
        first, last = int(match[1]), int(match[2]) + 1
        if first != start or not start < last <= stop or match[3] not in ("*", str(size)):
            what = f"it sends {match[0]} where bytes {start}-{stop - 1}/{size} was asked for"
            raise failures.BadReply(shown, what)
    else:
        raise failures.BadReply(shown, f"it answers {reply.status_code}, not 200 or 206")
    if length is not None and length != last - first:
        what = f"it announces {length} bytes where the stream says {last - first}"
        raise failures.BadReply(shown, what)
    return first, last


def content_length(reply: requests.Response) -> int | None:
    """Return what the reply says of its length; None where it is chunked or says nothing."""
    text = reply.headers.get("Content-Length", "")
    chunked = "chunked" in reply.headers.get("Transfer-Encoding", "").lower()
    return int(text) if _LENGTH.fullmatch(text) and not chunked else None


def validators(reply: requests.Response) -> Validators:
    """Return the reply's validators; what could not be sent back as a header is left out."""
    etag = reply.headers.get("ETag", "")
    date = reply.headers.get("Last-Modified", "")
    return Validators(
        etag if _VALIDATOR.fullmatch(etag) else None,
        date if _VALIDATOR.fullmatch(date) else None,
    )


def _retry_after(reply: requests.Response) -> float | None:
    """Return the seconds the server asks for; a date is left to our own backoff."""
    text = reply.headers.get("Retry-After", "").strip()
    return float(text) if _LENGTH.fullmatch(text) else None

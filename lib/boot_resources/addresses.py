"""Where a controller is reached: ``HOST:PORT``, as settings and member lists write it."""

import urllib.parse


def split(address: str) -> tuple[str, int]:
    """Return host and port of ``"host:port"``, ``"192.0.2.1:port"`` or ``"[2001:db8::1]:port"``.

    Raises:
        ValueError: where it is none of these; the message shows the form.
    """
    try:
        parts = urllib.parse.urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    bare = f"[{host}]:{port}" if host and ":" in host else f"{host}:{port}"
    if not host or not port or bare != address.lower():
        raise ValueError(
            f"{address!r} is not an address; write for example region-0.example:5290, "
            "192.0.2.1:5290 or [2001:db8::1]:5290"
        )
    return host, port

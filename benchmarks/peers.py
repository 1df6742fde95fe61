"""The peers: nginx with files, nginx as a cache (plain, tuned, in slices), Varnish."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator

from benchmarks import processes

_NGINX = """
daemon off; master_process on; worker_processes 1; pid {directory}/nginx.pid;
error_log {directory}/error.log;
{user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
  fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  proxy_cache_path {directory}/cache keys_zone=images:10m max_size=1g;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    {location}
  }}
}}
"""
_FILES = "root {root};"
_CACHE = """location / {{
  proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_cache images;
  proxy_set_header Connection ""; proxy_cache_valid 200 206 1h; {options}
}}"""
_LOCK = "proxy_cache_lock on; proxy_cache_lock_age 1h; proxy_cache_lock_timeout 1h;"
_SLICES = (
    "slice 1m; proxy_cache_key $uri$slice_range; proxy_set_header Range $slice_range;" + _LOCK
)


@dataclasses.dataclass(frozen=True)
class Server:
    """A running peer: its URL and process id."""

    url: str
    pid: int


def _nginx(directory: pathlib.Path, location: str) -> contextlib.AbstractContextManager[Server]:
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    port = processes.free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, port=port, location=location, user=user))
    program = processes.installed("nginx")
    assert program is not None
    words = [program, "-p", str(directory), "-c", str(config)]
    return _server(words, port)


@contextlib.contextmanager
def _server(words: list[str], port: int) -> Iterator[Server]:
    with processes.running(words, port) as pid:
        yield Server(f"http://127.0.0.1:{port}", pid)


def nginx_files(
    directory: pathlib.Path, root: pathlib.Path
) -> contextlib.AbstractContextManager[Server]:
    """Return nginx serving the files below ``root`` with sendfile."""
    return _nginx(directory, _FILES.format(root=root))


def nginx_cache(
    directory: pathlib.Path, upstream: int, kind: str
) -> contextlib.AbstractContextManager[Server]:
    """Return nginx caching what a loopback port serves: ``default``, ``lock`` or ``slice``."""
    options = {"default": "", "lock": _LOCK, "slice": _SLICES}[kind]
    return _nginx(directory, _CACHE.format(upstream=upstream, options=options))


def varnish(directory: pathlib.Path, upstream: int) -> contextlib.AbstractContextManager[Server]:
    """Return Varnish, as it comes, caching what a loopback port serves."""
    directory.mkdir(parents=True)
    port = processes.free_port()
    program = processes.installed("varnishd")
    assert program is not None
    words = [
        program,
        "-F",
        "-n",
        str(directory),
        "-a",
        f"127.0.0.1:{port}",
        "-b",
        f"127.0.0.1:{upstream}",
        "-s",
        "malloc,1g",
    ]
    return _server(words, port)

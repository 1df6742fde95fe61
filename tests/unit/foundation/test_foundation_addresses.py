"""A region's address is a host and a port, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources import addresses


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("region-0.example:5290", "region-0.example", 5290),
        ("192.0.2.1:1", "192.0.2.1", 1),
        ("[2001:db8::1]:5290", "2001:db8::1", 5290),
    ],
)
def test_an_address_is_host_and_port(text: str, host: str, port: int) -> None:
    assert addresses.split(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":5290", "host:0", "host:65536", "host:x", "2001:db8::1:5290",
     "[2001:db8::1]", "https://host:5290", "user@host:5290", "host:5290/path", "host:5290?a",
     "host:5290#a", "host:052", "host: 52", "[zz]:5290"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="for example"):
        addresses.split(text)


@given(st.text(max_size=40))
def test_nothing_but_an_address_or_a_refusal_comes_back(text: str) -> None:
    try:
        host, port = addresses.split(text)
    except ValueError:
        return
    assert host
    assert 0 < port < 65536

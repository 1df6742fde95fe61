import pytest

from boot_resources import errors
from boot_resources.source import address, failures

SOURCE = "https://images.example.com/stable/"
KNOWN = {
    "images.example.com": "93.184.216.34",
    "mirror.example.net": "93.184.216.35",
    "intranet": "10.0.0.7",
    "metadata": "169.254.169.254",
    "sneaky.example.org": "::ffff:127.0.0.1",
}


def resolve(host: str) -> frozenset[str]:
    try:
        return frozenset({KNOWN[host]})
    except KeyError:
        return address.resolve(host) if host[:1].isdigit() or ":" in host else frozenset()


def follow(target: str, operator: str = SOURCE, url: str = "") -> str:
    return address.follow(operator, url or operator, target, resolve)


@pytest.mark.parametrize(
    ("url", "base", "index"),
    [
        ("http://h/a", "http://h/a/", "streams/v1/index.sjson"),
        ("http://h/a/", "http://h/a/", "streams/v1/index.sjson"),
        ("http://h", "http://h/", "streams/v1/index.sjson"),
        ("http://h/a/streams/v1/daily.sjson", "http://h/a/", "streams/v1/daily.sjson"),
        ("http://h/a/streams/v1/index.json", "http://h/a/", "streams/v1/index.json"),
        ("http://h/a/own.sjson", "http://h/a/", "own.sjson"),
        ("http://h:81/own.sjson", "http://h:81/", "own.sjson"),
        ("http://u:p@h/a", "http://u:p@h/a/", "streams/v1/index.sjson"),
    ],
)
def test_a_source_is_found_with_and_without_a_slash_or_an_index(
    url: str, base: str, index: str
) -> None:
    assert address.locate(url, signed=True) == address.Location(base, index)


def test_an_unsigned_source_has_an_unsigned_index() -> None:
    assert address.locate("http://h/a", signed=False).index == "streams/v1/index.json"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h/a",
        "ftp://h/",
        "file:///etc",
        "http://",
        "http://h/?a=1",
        "http://h/#a",
        "http://[::1",
        "http://h:port/",
    ],
)
def test_a_url_of_no_source_is_refused(url: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        address.locate(url, signed=True)
    assert "https://images.maas.io" in caught.value.cure


def test_a_path_cannot_lead_out_of_the_source() -> None:
    location = address.locate("http://h/a", signed=True)
    assert location.url("b/c?d=e#f%2e") == "http://h/a/b/c%3Fd=e%23f%252e"
    assert location.url("streams/v1/a:b.sjson") == "http://h/a/streams/v1/a:b.sjson"


def test_credentials_are_taken_out_and_never_shown() -> None:
    url = "https://user:se%40cret@h/a"
    assert address.without_credentials(url) == "https://h/a"
    assert address.credentials(url) == ("user", "se@cret")
    assert address.credentials("https://h/a") is None
    assert "cret" not in repr(address.locate(url, signed=True))


def test_a_url_that_cannot_be_taken_apart_is_not_shown() -> None:
    with pytest.raises(errors.SettingsError) as caught:
        address.locate("https://user:secret/word@h/", signed=True)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        (["h.example.com"], True),
        (["example.com"], True),
        ([".example.com"], True),
        (["*.example.com"], True),
        (["*"], True),
        (["ample.com"], False),
        (["other", ""], False),
        ([], False),
    ],
)
def test_a_name_is_asked_directly_where_no_proxy_says_so(
    no_proxy: list[str], direct: bool
) -> None:
    assert address.is_bypassed("http://h.example.com:80/a", no_proxy) is direct


def test_an_address_is_asked_directly_where_its_network_is_named() -> None:
    assert address.is_bypassed("http://10.1.2.3/", ["10.0.0.0/8"])
    assert address.is_bypassed("http://[fd00::1]/", ["fd00::/8"])
    assert not address.is_bypassed("http://11.1.2.3/", ["10.0.0.0/8"])


def test_a_redirect_to_a_public_host_or_within_the_host_is_followed() -> None:
    assert follow("https://mirror.example.net/x") == "https://mirror.example.net/x"
    assert follow("/x") == "https://images.example.com/x"
    assert follow("y#z", url=SOURCE + "x") == SOURCE + "y"


@pytest.mark.parametrize(
    "target", ["http://images.example.com/", "ftp://h/", "file:///etc/passwd"]
)
def test_a_redirect_to_another_scheme_is_refused(target: str) -> None:
    with pytest.raises(failures.RedirectRefused, match="another scheme"):
        follow(target)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("https://intranet/x", "private"),
        ("https://metadata/latest", "link-local"),
        ("https://127.0.0.1/", "loopback"),
        ("https://127.1/", "loopback"),
        ("https://2130706433/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://[fe80::1]/", "link-local"),
        ("https://sneaky.example.org/", "loopback"),
        ("https://0.0.0.0/", "loopback"),
        # IPv6 addresses that lead to IPv4 ones: through a translator, a tunnel, the system itself.
        ("https://[64:ff9b::a9fe:a9fe]/", "link-local"),
        ("https://[64:ff9b::7f00:1]/", "loopback"),
        ("https://[64:ff9b:1::808:808]/", "private"),
        ("https://[2002:7f00:1::]/", "loopback"),
        ("https://[2002:a00:1::]/", "private"),
        ("https://[::7f00:1]/", "loopback"),
        ("https://[::ffff:10.0.0.1]/", "private"),
        ("https://[fec0::1]/", "private"),
        ("https://[::]/", "loopback"),
    ],
)
def test_a_redirect_from_a_public_host_to_a_private_address_is_refused(
    target: str, kind: str
) -> None:
    with pytest.raises(failures.RedirectRefused, match=f"to a {kind} address"):
        follow(target)


@pytest.mark.parametrize(
    "host", ["[2606:4700::1111]", "[64:ff9b::808:808]", "[2002:808:808::]", "[::ffff:8.8.8.8]"]
)
def test_a_redirect_to_a_public_address_of_whatever_form_is_followed(host: str) -> None:
    assert follow(f"https://{host}/x") == f"https://{host}/x"


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("https://reader:word@h/a", True),
        (" https://reader:word@h", True),
        ("https://reader:@h/", True),
        ("https://reader:word@[bad/", True),
        ("https://reader@h/", False),
        ("https://h:443/a:b@c", False),
        ("nonsense", False),
    ],
)
def test_a_password_in_a_url_is_seen(url: str, holds: bool) -> None:
    assert address.holds_password(url) is holds


def test_an_operator_who_names_a_private_host_may_be_sent_to_its_neighbour() -> None:
    assert follow("http://10.0.0.8/x", operator="http://intranet/") == "http://10.0.0.8/x"
    assert follow("http://localhost/x", operator="http://127.0.0.1/") == "http://localhost/x"


@pytest.mark.parametrize("target", ["http://127.0.0.1/x", "http://metadata/latest"])
def test_a_private_host_cannot_send_us_to_ourselves_or_to_the_metadata_service(
    target: str,
) -> None:
    with pytest.raises(failures.RedirectRefused, match="address"):
        follow(target, operator="http://intranet/")


def test_the_operator_s_own_host_is_followed_wherever_it_is() -> None:
    assert follow("/x", operator="http://intranet/y") == "http://intranet/x"


def test_a_redirect_to_no_url_is_refused() -> None:
    with pytest.raises(failures.RedirectRefused, match="no URL"):
        follow("https://[::1/")


def test_credentials_in_a_redirect_are_dropped() -> None:
    assert follow("https://u:p@mirror.example.net/x") == "https://mirror.example.net/x"

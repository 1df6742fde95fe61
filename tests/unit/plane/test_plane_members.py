"""Who counts, and how a running controller learns that this changed."""

import contextlib
import json
import os
import pathlib
import resource
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from boot_resources.plane import authority, keys, members

REGION, RACK, OPERATOR = members.Role


def member(name: str, role: members.Role = RACK, key: str = "a") -> members.Member:
    return members.Member(name, role, key * 64)


def document(*entries: dict[str, object]) -> str:
    return json.dumps({"format": 1, "members": entries})


def entry(**changes: object) -> dict[str, object]:
    return {"name": "rack-0", "role": "rack", "fingerprint": "a" * 64, "addresses": []} | changes


@pytest.fixture
def signer(tmp_path: pathlib.Path) -> authority.Authority:
    return authority.Authority.create(tmp_path / "authority", "test")


def der(
    signer: authority.Authority, key: pathlib.Path, name: str, role: members.Role
) -> tuple[bytes, str]:
    issued = signer.issue(name, role, ["127.0.0.1"], public_key=keys.public_of(key))
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem)
    return certificate.public_bytes(serialization.Encoding.DER), issued.fingerprint


def test_a_list_comes_back_as_it_was_written(tmp_path: pathlib.Path) -> None:
    listed = members.Members(
        (
            members.Member("region-0", REGION, "a" * 64, ("192.0.2.1", "region-0.example")),
            members.Member("rack-0", RACK, "b" * 64),
        )
    )
    members.write(tmp_path / "members.json", listed)
    assert members.load(tmp_path / "members.json") == listed


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "EOF"),
        ("{", "EOF"),
        ("[]", "Input should be an object"),
        ('{"members": []}', "format"),
        ('{"format": 2, "members": []}', "format: Input should be 1"),
        (document(entry(role="king")), "members.0.role: Input should be 'region', 'rack'"),
        (document(entry(fingerprint="A" * 64)), "members.0.fingerprint"),
        (document(entry(name="../key")), "members.0.name"),
        (document(entry(), entry(fingerprint="b" * 64)), "name rack-0 occurs twice"),
        (document(entry(), entry(name="rack-1")), f"fingerprint {'a' * 64} occurs twice"),
    ],
)
def test_a_list_that_is_not_valid_is_refused_and_says_where(
    tmp_path: pathlib.Path, content: str, says: str
) -> None:
    path = tmp_path / "members.json"
    path.write_text(content)
    with pytest.raises(members.MembersError) as caught:
        members.load(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.cure


@given(content=st.binary(max_size=300))
def test_no_file_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with contextlib.suppress(members.MembersError):
        members.load(path)


def test_an_endless_file_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "members.json"
    with path.open("wb") as file:
        file.truncate(members.MAX_LIST_SIZE + 1)
    with pytest.raises(members.MembersError, match="longer than 16 MiB"):
        members.load(path)


def test_a_missing_list_is_refused_with_its_name(tmp_path: pathlib.Path) -> None:
    with pytest.raises(members.MembersError, match=r"none\.json: No such file"):
        members.load(tmp_path / "none.json")


def test_what_a_newer_controller_adds_is_ignored(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "members.json"
    path.write_text(document(entry(zone="west")))
    assert members.load(path).named("rack-0") == member("rack-0")


def test_a_member_is_admitted_in_its_role(
    signer: authority.Authority, tmp_path: pathlib.Path
) -> None:
    certificate, key = der(signer, tmp_path / "k", "rack-0", RACK)
    listed = members.Members((members.Member("rack-0", RACK, key),))
    assert listed.admit(certificate, {RACK, REGION}).name == "rack-0"


def test_a_key_that_is_not_listed_is_refused_by_its_fingerprint(
    signer: authority.Authority, tmp_path: pathlib.Path
) -> None:
    certificate, key = der(signer, tmp_path / "k", "rack-0", RACK)
    with pytest.raises(members.NotAMember, match="not in the member list") as caught:
        members.Members((member("rack-0", RACK, "c"),)).admit(certificate, {RACK})
    assert caught.value.fingerprint == key
    assert key in str(caught.value)


def test_a_certificate_for_another_role_than_listed_is_refused(
    signer: authority.Authority, tmp_path: pathlib.Path
) -> None:
    certificate, key = der(signer, tmp_path / "k", "rack-0", RACK)
    listed = members.Members((members.Member("rack-0", REGION, key),))
    with pytest.raises(members.NotAMember, match="but its certificate says 'rack'"):
        listed.admit(certificate, {RACK, REGION})


def test_a_member_is_refused_where_its_role_has_no_business(
    signer: authority.Authority, tmp_path: pathlib.Path
) -> None:
    certificate, key = der(signer, tmp_path / "k", "rack-0", RACK)
    listed = members.Members((members.Member("rack-0", RACK, key),))
    with pytest.raises(members.NotAMember, match="for operator or region only"):
        listed.admit(certificate, {REGION, OPERATOR})


@pytest.mark.parametrize("noise", [b"", b"\x30\x03\x02\x01\x01", b"certificate"])
def test_what_is_no_certificate_is_refused(noise: bytes) -> None:
    with pytest.raises(members.NotAMember, match="cannot be read"):
        members.Members().admit(noise, {REGION})


def test_a_fingerprint_is_of_the_key_and_outlives_the_certificate(
    signer: authority.Authority, tmp_path: pathlib.Path
) -> None:
    first, key = der(signer, tmp_path / "k", "rack-0", RACK)
    second, same_key = der(signer, tmp_path / "k", "rack-0", RACK)
    assert first != second
    assert key == same_key == members.fingerprint(second)


def test_a_running_controller_sees_a_new_list_at_once(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "members.json"
    members.write(path, members.Members((member("a"),)))
    file = members.MemberFile(path)
    before = file.current()
    assert file.current() is before
    members.write(path, members.Members())
    assert file.current() == members.Members()
    assert file.current() is not before


@pytest.mark.parametrize("in_place", [False, True])
def test_an_equally_long_list_of_the_same_age_is_seen_too(
    tmp_path: pathlib.Path, in_place: bool
) -> None:
    path = tmp_path / "members.json"
    members.write(path, members.Members((member("rack-0"),)))
    file = members.MemberFile(path)
    old = path.stat()
    if in_place:
        path.write_text(path.read_text().replace("rack-0", "rack-1"))
    else:
        members.write(path, members.Members((member("rack-1"),)))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert path.stat().st_size == old.st_size
    assert file.current().named("rack-1")


@pytest.mark.parametrize("content", ["{", None])
def test_a_broken_or_missing_file_keeps_the_last_good_list_and_says_so(
    tmp_path: pathlib.Path, content: str | None
) -> None:
    path = tmp_path / "members.json"
    good = members.Members((member("a"),))
    members.write(path, good)
    file = members.MemberFile(path)
    assert file.problem is None
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert file.current() == good
    assert str(path) in str(file.problem)
    members.write(path, members.Members())
    assert file.current() == members.Members()
    assert file.problem is None


def test_a_file_that_could_not_be_opened_for_a_moment_is_tried_again(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "members.json"
    members.write(path, members.Members((member("a"),)))
    file = members.MemberFile(path)
    members.write(path, members.Members())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        during = file.current()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert during.named("a")
    assert "Too many open files" in str(file.problem)
    assert file.current() == members.Members()
    assert file.problem is None


def test_a_controller_does_not_start_without_a_good_list(tmp_path: pathlib.Path) -> None:
    with pytest.raises(members.MembersError):
        members.MemberFile(tmp_path / "members.json")


def test_two_that_change_one_list_at_once_lose_nothing(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "members.json"
    members.write(path, members.Members())
    gate = threading.Barrier(8)

    def enter(number: int) -> None:
        gate.wait()
        members.update(path, lambda now: now.with_member(member(f"m{number}", RACK, str(number))))

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [m.name for m in members.load(path).members] == [f"m{n}" for n in range(8)]

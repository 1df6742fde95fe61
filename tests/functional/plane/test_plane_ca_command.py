"""``boot-resources ca``, as an operator uses it."""

import json
import pathlib
import shutil
import subprocess
from typing import Any

import pytest
from click import testing

from boot_resources import errors
from boot_resources.cli import ca
from boot_resources.plane import authority, client, members, tls
from support import plane_region, tiers


class Operator:
    """Runs ``boot-resources ca`` with one authority directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    def run(self, command: str, *args: object) -> str:
        words = [command, *map(str, args), "--directory", str(self.directory)]
        result = testing.CliRunner().invoke(ca.group, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, command: str, *args: object) -> Any:
        return json.loads(self.run(command, *args, "--json"))


@pytest.fixture
def operator(tmp_path: pathlib.Path) -> Operator:
    operator = Operator(tmp_path / "authority")
    operator.run("create")
    return operator


def identity(out: pathlib.Path, name: str) -> tls.Identity:
    return tls.Identity(out / f"{name}.crt", out / f"{name}.key", out / "authority.crt")


def test_what_the_commands_make_is_enough_for_a_region_and_a_rack(
    operator: Operator, tmp_path: pathlib.Path
) -> None:
    out = tmp_path / "out"
    operator.run("issue", "region-0", "--role", "region", "--address", "127.0.0.1", "--out", out)
    operator.run("issue", "rack-0", "--role", "rack", "--out", out)
    region = plane_region.PlaneRegion(tls.server_context(identity(out, "region-0")))
    region.member_file = members.MemberFile(out / "members.json")
    with region:
        asking = client.RegionClient(
            region.address,
            identity(out, "rack-0"),
            members.MemberFile(out / "members.json"),
        )
        assert asking.health().serving
        asking.close()
    assert (out / "rack-0.key").stat().st_mode & 0o777 == 0o600


def test_create_twice_is_refused(operator: Operator) -> None:
    with pytest.raises(authority.AuthorityError, match="already"):
        operator.run("create")


def test_issue_says_what_it_wrote_and_what_to_do_next(
    operator: Operator, tmp_path: pathlib.Path
) -> None:
    said = operator.run("issue", "rack-0", "--role", "rack", "--out", tmp_path / "out")
    assert "issued rack-0, role rack, valid until 20" in said
    assert str(tmp_path / "out" / "rack-0.key") in said
    assert "copy members.json to every controller" in said


def test_issue_again_keeps_the_key_and_so_the_fingerprint(
    operator: Operator, tmp_path: pathlib.Path
) -> None:
    first = operator.json("issue", "rack-0", "--role", "rack", "--out", tmp_path)
    second = operator.json("issue", "rack-0", "--role", "rack", "--out", tmp_path)
    assert first["fingerprint"] == second["fingerprint"]
    assert set(first["files"]) == {"key", "certificate", "authority", "members"}
    assert "PRIVATE" not in json.dumps(first)


def test_a_request_made_by_openssl_contributes_its_key_only(
    operator: Operator, tmp_path: pathlib.Path
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        tiers.missing("openssl is not installed")
    request = tmp_path / "request.csr"
    subprocess.run(
        [openssl, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", str(tmp_path / "own.key"), "-out", str(request),
         "-subj", "/OU=region/CN=region-0", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    out = tmp_path / "out"
    issued = operator.json("issue", "rack-5", "--role", "rack", "--request", request, "--out", out)
    assert issued["files"]["key"] is None
    assert not (out / "rack-5.key").exists()
    mine = tls.Identity(out / "rack-5.crt", tmp_path / "own.key", out / "authority.crt")
    me = tls.examine(mine)
    assert (me.name, me.role, me.fingerprint) == ("rack-5", "rack", issued["fingerprint"])
    said = subprocess.run(
        [openssl, "verify", "-CAfile", str(out / "authority.crt"), "-x509_strict",
         "-purpose", "sslclient", str(out / "rack-5.crt")],
        check=True,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert said.stdout.endswith(": OK\n")


@pytest.mark.parametrize("name", ["../rack", "region/0", "/etc/x"])
def test_a_name_never_leaves_the_directory(
    operator: Operator, tmp_path: pathlib.Path, name: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(errors.BootResourcesError, match="cannot be a name"):
        operator.run("issue", name, "--role", "rack", "--out", tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_name_of_the_authoritys_own_files_is_refused(
    operator: Operator, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(errors.BootResourcesError, match="the authority's own files"):
        operator.run("issue", "authority", "--role", "rack", "--out", tmp_path)


def test_what_is_no_role_is_a_usage_error(operator: Operator, tmp_path: pathlib.Path) -> None:
    words = ["issue", "x", "--role", "king", "--directory", str(operator.directory)]
    assert testing.CliRunner().invoke(ca.group, words).exit_code == errors.EXIT_USAGE


def test_issuing_beside_an_older_authority_goes_on_trusting_it(
    operator: Operator, tmp_path: pathlib.Path
) -> None:
    out = tmp_path / "out"
    operator.run("issue", "rack-0", "--role", "rack", "--out", out)
    old = (out / "authority.crt").read_bytes()
    new = Operator(tmp_path / "new")
    new.run("create")
    shutil.copy(operator.directory / "members.json", new.directory)
    new.run("issue", "rack-0", "--role", "rack", "--out", out)
    assert (out / "authority.crt").read_bytes() == (
        old + (tmp_path / "new" / "authority.crt").read_bytes()
    )
    tls.client_context(identity(out, "rack-0"))


def test_issuing_into_the_authoritys_own_directory_harms_nothing(operator: Operator) -> None:
    before = (operator.directory / "authority.crt").stat()
    operator.run("issue", "rack-0", "--role", "rack", "--out", operator.directory)
    assert (operator.directory / "authority.crt").stat().st_mtime_ns == before.st_mtime_ns
    assert operator.json("list")["members"][0]["name"] == "rack-0"


def test_list_shows_who_is_in_and_remove_takes_one_out(
    operator: Operator, tmp_path: pathlib.Path
) -> None:
    addresses = ("--address", "192.0.2.1", "--address", "2001:db8::1")
    operator.run("issue", "region-0", "--role", "region", *addresses, "--out", tmp_path)
    operator.run("issue", "rack-0", "--role", "rack", "--out", tmp_path)
    listed = operator.json("list")
    assert [member["name"] for member in listed["members"]] == ["rack-0", "region-0"]
    assert listed["authority"]["name"] == "boot-resources"
    fingerprint = listed["members"][1]["fingerprint"]
    lines = operator.run("list").splitlines()
    assert lines[0] == "name\trole\taddresses\tfingerprint"
    assert lines[2] == f"region-0\tregion\t192.0.2.1, 2001:db8::1\t{fingerprint}"
    said = operator.run("remove", "region-0")
    assert fingerprint in said
    assert "to every other controller" in said
    assert [member["name"] for member in operator.json("list")["members"]] == ["rack-0"]
    with pytest.raises(authority.AuthorityError, match="no member"):
        operator.run("remove", "region-0")


def test_remove_prints_one_json_document(operator: Operator, tmp_path: pathlib.Path) -> None:
    operator.run("issue", "rack-0", "--role", "rack", "--out", tmp_path)
    assert operator.json("remove", "rack-0")["removed"]["name"] == "rack-0"


def test_without_an_authority_every_command_says_how_to_make_one(tmp_path: pathlib.Path) -> None:
    nobody = Operator(tmp_path / "none")
    for words in (["list"], ["remove", "x"], ["issue", "x", "--role", "rack"]):
        with pytest.raises(authority.AuthorityError) as caught:
            nobody.run(*words)
        assert "ca create" in caught.value.cure


@pytest.mark.parametrize("words", [[], ["create"], ["issue"], ["list"], ["remove"]])
def test_help_is_there(words: list[str]) -> None:
    result = testing.CliRunner().invoke(ca.group, [*words, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output

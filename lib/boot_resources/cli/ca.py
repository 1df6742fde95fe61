"""``boot-resources ca``: an authority and its member list, where there is no Juju to keep them.

The commands work on the authority's directory alone; none of them talks to a controller. A
controller reads its own copy of the member list and notices by itself when that changes.
"""

import dataclasses
import pathlib

import click

from boot_resources.cli import output
from boot_resources.plane import authority, certificates, durable, keys, members

DEFAULT_DIRECTORY = pathlib.Path("/etc/boot-resources/authority")
MAX_REQUEST_SIZE = 64 * 1024
"""Bytes; a certificate request is about one thousandth of that."""

_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=pathlib.Path),
    default=DEFAULT_DIRECTORY,
    show_default=True,
    help="The authority's directory; only its owner can read it.",
)


@click.group("ca")
def group() -> None:
    """Say which controllers belong together, and prove it to them.

    Regions and racks accept one another by certificates of one authority, and only while their
    keys are in the member list. Keep the authority's directory on one host, with a backup.
    """


@group.command()
@_directory
@click.option(
    "--name",
    default="boot-resources",
    show_default=True,
    help="The authority's name, as certificates show it to people.",
)
@output.as_json
def create(directory: pathlib.Path, name: str, as_json: bool) -> None:
    """Make an authority, valid for ten years, with an empty member list.

    A directory that holds an authority already is refused.

    To replace an authority while everything runs: create the new one in another directory, put
    the old members.json into it, let the authority file of every controller hold both
    certificates, issue every certificate again from the new one, and only then drop the old.
    """
    made = authority.Authority.create(directory, name)
    if as_json:
        output.document(_describe(made))
        return
    click.echo(f"made the authority {made.name}, valid until {made.expires:%Y-%m-%d}")
    click.echo(f"  directory    {made.directory}")
    where = f" --directory {directory}" if directory != DEFAULT_DIRECTORY else ""
    click.echo(f"next: boot-resources ca issue NAME --role region --address ADDRESS{where}")


@group.command()
@click.argument("name")
@_directory
@click.option(
    "--role",
    type=click.Choice([str(role) for role in members.Role]),
    required=True,
    help="What it may do. A region serves and asks; a rack and an operator only ask.",
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    help="An IP address or DNS name it is reached at; repeat for more. A region needs one.",
)
@click.option(
    "--request",
    type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
    help="A certificate request or public key, in PEM. Only its key is used: name, role and "
    "addresses are those given here. Without it a key is made too, or NAME.key used again.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=pathlib.Path),
    default=pathlib.Path(),
    help="Where to write NAME.key, NAME.crt, authority.crt and members.json; made if it is "
    "missing.  [default: the current directory]",
)
@click.option(
    "--days",
    type=click.IntRange(1, certificates.AUTHORITY_DAYS),
    default=certificates.LEAF_DAYS,
    show_default=True,
    help="How long the certificate is valid.",
)
@output.as_json
def issue(
    name: str,
    directory: pathlib.Path,
    role: str,
    addresses: tuple[str, ...],
    request: pathlib.Path | None,
    out: pathlib.Path,
    days: int,
    as_json: bool,
) -> None:
    """Certify the controller or operator NAME and enter it in the member list.

    Run it again to renew a certificate or change its addresses: with the same key, no other
    controller needs a new list. Another key or role for the same NAME is refused; remove NAME
    first. Write the Juju unit region/0 as region-0.

    An authority.crt that is in the --out directory already keeps the certificates it holds.
    """
    source = authority.Authority.open(directory)
    _check_file_name(name)
    durable.make_directory(out)
    key_path = None if request else out / f"{name}.key"
    public_key = _read_request(request) if request else keys.public_of(out / f"{name}.key")
    issued = source.enrol(name, members.Role(role), addresses, public_key=public_key, days=days)
    written = {
        "key": key_path,
        "certificate": out / f"{name}.crt",
        "authority": out / authority.CERTIFICATE,
        "members": out / authority.MEMBERS,
    }
    durable.write(out / f"{name}.crt", issued.certificate_pem, mode=durable.PUBLIC)
    # In its own directory the authority's files are no copies, and must not be written as such:
    # another `issue` may be changing the list at this moment.
    if out.resolve() != directory.resolve():
        _copy_trust(source, out)
    if as_json:
        output.document(
            {
                "name": name,
                "role": role,
                "addresses": addresses,
                "fingerprint": issued.fingerprint,
                "expires": issued.expires.isoformat(),
                "files": {what: path and str(path) for what, path in written.items()},
            }
        )
        return
    click.echo(f"issued {name}, role {role}, valid until {issued.expires:%Y-%m-%d}")
    for what, path in written.items():
        if path:
            click.echo(f"  {what:<12} {path}")
    click.echo(f"  {'fingerprint':<12} {issued.fingerprint}")
    click.echo(f"next: copy members.json to every controller that is to know {name}")


@group.command("list")
@_directory
@output.as_json
def list_(directory: pathlib.Path, as_json: bool) -> None:
    """Show all that were issued a certificate and not removed since."""
    source = authority.Authority.open(directory)
    listed = members.load(source.members_path).members
    if as_json:
        entries = [dataclasses.asdict(member) for member in listed]
        output.document({"authority": _describe(source), "members": entries})
        return
    rows = [
        [member.name, str(member.role), ", ".join(member.addresses), member.fingerprint]
        for member in listed
    ]
    output.table(["name", "role", "addresses", "fingerprint"], rows)


@group.command()
@click.argument("name")
@_directory
@output.as_json
def remove(name: str, directory: pathlib.Path, as_json: bool) -> None:
    """Take NAME out of the member list.

    Its certificate stays valid, and opens nothing any more: a controller that reads this list
    refuses NAME and closes its open connections within a second. The list must reach the other
    controllers; until it does, they go on accepting NAME.
    """
    source = authority.Authority.open(directory)
    member = source.expel(name)
    if as_json:
        output.document(
            {
                "removed": dataclasses.asdict(member),
                "members": str(source.members_path),
            }
        )
        return
    click.echo(f"removed {member.name}, role {member.role}, key {member.fingerprint}")
    click.echo(
        "Controllers that read this list close its open connections within a second.\n"
        f"next: copy {source.members_path} to every other controller"
    )


def _check_file_name(name: str) -> None:
    """Return if ``NAME.key`` and ``NAME.crt`` can be files beside ``authority.crt``."""
    certificates.check_name(name)
    if f"{name}.crt" == authority.CERTIFICATE:
        raise certificates.NotIssued(
            f"{name!r} is the name of the authority's own files", "choose another name"
        )


def _read_request(path: pathlib.Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_REQUEST_SIZE)
    except OSError as error:
        raise keys.KeyRefused(
            f"cannot read the request {path}: {error.strerror}", "name a file you can read"
        ) from error


def _copy_trust(source: authority.Authority, out: pathlib.Path) -> None:
    """Put beside the certificate what its holder must know of the others."""
    path = out / authority.CERTIFICATE
    existing = path.read_bytes() if path.exists() else b""
    durable.write(path, source.trusted_with(existing), mode=durable.PUBLIC)
    members.write(out / authority.MEMBERS, members.load(source.members_path))


def _describe(source: authority.Authority) -> dict[str, str]:
    return {
        "name": source.name,
        "directory": str(source.directory),
        "certificate": str(source.directory / authority.CERTIFICATE),
        "expires": source.expires.isoformat(),
    }

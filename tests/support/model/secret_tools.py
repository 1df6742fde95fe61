"""The hook tools for secrets.

Who owns a secret changes it: a unit its own, the leader its application's. The application's other
units read it too, and so does whom it was granted to. A reader goes on with the revision that it
read first until it asks for the newest.
"""

import json
import re
import secrets
from typing import Any

from . import context, relations, state
from .tools import Given, tool

_KEY = re.compile(r"[a-z](-?[a-z0-9]){2,}")
_ROTATIONS = {"never", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"}
_ABOUT = "label description expire rotate owner"


@tool("secret-add", values=f"{_ABOUT} file")
def secret_add(running: context.Context, given: Given) -> str:
    owner = given.options.get("owner", "application")
    if owner not in {"application", "unit"}:
        raise context.Refused(f'secret owner "{owner}" not valid')
    if owner == "application" and not running.leads:
        raise context.Refused("this unit is not the leader")
    content = _content(given)
    if not content:
        raise context.Refused("missing secret value or filename")
    named = running.unit.name if owner == "unit" else running.application.name
    secret = state.Secret(new_id(), named, revisions={1: content})
    _describe(running, secret, given)
    running.secrets[secret.id] = secret
    return f"secret:{secret.id}\n"


@tool("secret-set", values=f"{_ABOUT} file")
def secret_set(running: context.Context, given: Given) -> None:
    secret = _owned(running, given)
    _describe(running, secret, given)
    content = _content(given)
    if content and content != secret.revisions[secret.latest]:
        secret.revisions[secret.latest + 1] = content


@tool("secret-remove", values="revision")
def secret_remove(running: context.Context, given: Given) -> None:
    secret = _owned(running, given)
    if "revision" not in given.options:
        del running.secrets[secret.id]
        return
    revision = int(given.options["revision"])
    if revision not in secret.revisions:
        raise context.Refused(f'revision {revision} of secret "{secret.id}" not found')
    del secret.revisions[revision]
    if not secret.revisions:
        del running.secrets[secret.id]


@tool("secret-grant", values="relation r unit")
def secret_grant(running: context.Context, given: Given) -> None:
    relation, reader = _reader(running, given)
    _owned(running, given).grants.add((reader, relation.number))


@tool("secret-revoke", values="relation r unit app")
def secret_revoke(running: context.Context, given: Given) -> None:
    reader = given.options.get("app", given.options.get("unit", ""))
    if not reader:
        _, reader = _reader(running, given)
    secret = _owned(running, given)
    secret.grants = {grant for grant in secret.grants if grant[0] != reader}


@tool("secret-ids", query=True)
def secret_ids(running: context.Context, given: Given) -> list[str]:
    return sorted(id_ for id_, secret in running.secrets.items() if _owns(running, secret))


@tool("secret-info-get", values="label", query=True)
def secret_info_get(running: context.Context, given: Given) -> dict[str, Any]:
    label = given.options.get("label", "")
    if bool(label) == bool(given.words):
        raise context.Refused("specify either a secret URI or label but not both")
    named = label or _id(given)
    for secret in running.secrets.values():
        if named == (secret.label if label else secret.id) and _owns(running, secret):
            return {secret.id: _about(running, secret)}
    raise context.Refused(f'secret "{named}" not found', ordinary=True)


@tool("secret-get", values="label", switches="peek refresh", query=True)
def secret_get(running: context.Context, given: Given) -> Any:
    peek, refresh = given.switch("peek"), given.switch("refresh")
    if peek and refresh:
        raise context.Refused("specify one of --peek or --refresh but not both")
    label = given.options.get("label", "")
    secret = _found(running, _id(given)) if given.words else _labelled(running, label)
    if not _reads(running, secret):
        raise context.Refused("permission denied", ordinary=True)
    tracked = running.unit.tracked.setdefault(secret.id, state.Tracked(secret.latest))
    tracked.label = label or tracked.label
    if refresh:
        tracked.revision = secret.latest
    content = secret.revisions.get(secret.latest if peek else tracked.revision)
    if content is None:
        raise context.Refused(f'secret "{secret.id}" revision {tracked.revision} not found')
    return content[given.words.pop(0)] if given.words else content


def new_id() -> str:
    """Return an id for a new secret, of the shape that Juju gives."""
    return "d" + secrets.token_hex(10)[:19]


def _id(given: Given) -> str:
    uri = given.word("require either a secret URI or label")
    return uri.removeprefix("secret:").rpartition("/")[2]


def _found(running: context.Context, id_: str) -> state.Secret:
    if id_ not in running.secrets:
        raise context.Refused(f'secret "{id_}" not found', ordinary=True)
    return running.secrets[id_]


def _labelled(running: context.Context, label: str) -> state.Secret:
    """Return the secret that a unit knows by a label: its owner's, or the unit's own for it."""
    if not label:
        raise context.Refused("require either a secret URI or label")
    ours = {running.unit.name, running.application.name}
    for secret in running.secrets.values():
        tracked = running.unit.tracked.get(secret.id)
        known = secret.label if secret.owner in ours else tracked and tracked.label
        if known == label:
            return secret
    raise context.Refused(f'secret with label "{label}" not found', ordinary=True)


def _owned(running: context.Context, given: Given) -> state.Secret:
    secret = _found(running, _id(given))
    if not _owns(running, secret):
        ours = secret.owner == running.application.name
        raise context.Refused("this unit is not the leader" if ours else "permission denied")
    return secret


def _owns(running: context.Context, secret: state.Secret) -> bool:
    if secret.owner == running.application.name:
        return running.leads
    return secret.owner == running.unit.name


def _reads(running: context.Context, secret: state.Secret) -> bool:
    ours = {running.unit.name, running.application.name}
    return secret.owner in ours or any(reader in ours for reader, _ in secret.grants)


def _reader(running: context.Context, given: Given) -> tuple[relations.Relation, str]:
    """Return the relation that a grant hangs on, and the application or unit it is for."""
    named = given.options.get("relation", given.options.get("r", ""))
    number = named.rpartition(":")[2]
    if not number.isdecimal() or int(number) not in running.unit.views:
        raise context.Refused(f'invalid value "{named}" for option --relation: relation not found')
    relation = running.world.relations[int(number)]
    return relation, given.options.get("unit", relation.other(running.application.name))


def _content(given: Given) -> dict[str, str]:
    content: dict[str, str] = {}
    if "file" in given.options:
        content |= json.loads(given.files[given.options["file"]])
    while given.words:
        key, equals, value = given.words.pop(0).partition("=")
        key, _, how = key.partition("#")
        if not equals or not _KEY.fullmatch(key) or how not in {"", "file"}:
            raise context.Refused(f'key "{key}" not valid')
        content[key] = given.files[value] if how == "file" else value
    if not all(content.values()):
        raise context.Refused("empty secret value not valid")
    return content


def _describe(running: context.Context, secret: state.Secret, given: Given) -> None:
    options = given.options
    label = options.get("label", secret.label)
    for other in running.secrets.values():
        if label and other.label == label and other.owner == secret.owner and other is not secret:
            raise context.Refused(f'secret with label "{label}" already exists')
    if options.get("rotate", "never") not in _ROTATIONS:
        raise context.Refused(f'rotate policy "{options["rotate"]}" not valid')
    secret.label = label
    secret.description = options.get("description", secret.description)
    secret.expire = options.get("expire", secret.expire)
    secret.rotate = options.get("rotate", secret.rotate)


def _about(running: context.Context, secret: state.Secret) -> dict[str, Any]:
    kind = "application" if secret.owner == running.application.name else "unit"
    about: dict[str, Any] = {"revision": secret.latest, "label": secret.label, "owner": kind}
    about["rotation"] = secret.rotate or "never"
    optional = {"description": secret.description, "expiry": secret.expire}
    return about | {name: value for name, value in optional.items() if value}

"""The actions of a region: what an operator orders, how far it is, and what came of it.

Each order is one ``boot-resources`` command. The long ones say in the action's log how far they
are, and interrupting the action does not interrupt the region.
"""

import json
import re
from collections.abc import Iterator

import ops
import pydantic

from boot_resources import errors, units
from boot_resources_charms import acting, problems, workload

from . import state

_SHOWN = 100
"""How many images are listed; all of them are counted."""
_OPEN = re.compile(r"\S+.*?  open: .+")
"""A line of the engine about a file that it could not take over."""


class MigrateParams(pydantic.BaseModel):
    """The parameters of ``migrate-images``, which are the options of the command."""

    check: bool = False
    online: bool = False
    accept_lost: list[str] = []
    finish: bool = False
    yes_i_have_a_backup: bool = False
    orphans: bool = False

    def arguments(self) -> Iterator[str]:
        """Yield the arguments of the command."""
        for name in ("check", "online", "finish", "yes_i_have_a_backup", "orphans"):
            if getattr(self, name):
                yield f"--{name.replace('_', '-')}"
        for image in self.accept_lost:
            # With "=", a name that begins with a hyphen is no option.
            yield f"--accept-lost={image}"

    def require_one_order(self) -> None:
        """Return if they go together.

        Raises:
            problems.Problem: they do not.
        """
        if self.check and (self.finish or self.accept_lost):
            raise problems.Problem(
                "check changes nothing: it goes with neither finish nor accept-lost",
                "run the action with check=true first, and without it when nothing is in the way",
            )
        if self.finish and (self.online or self.accept_lost):
            raise problems.Problem(
                "finish goes with neither online nor accept-lost", "leave them out"
            )
        if self.finish and not self.yes_i_have_a_backup:
            raise problems.Problem(
                "finish removes MAAS's images from its database, and cannot be undone",
                "back the database up, and say so: finish=true yes-i-have-a-backup=true",
            )
        if not self.finish and (self.orphans or self.yes_i_have_a_backup):
            raise problems.Problem(
                "orphans and yes-i-have-a-backup go with finish", "add finish=true, or leave them"
            )


def sync_images(event: ops.ActionEvent, machine: workload.Workload) -> None:
    """Have the region read its source now, and bring what is missing."""
    summary = acting.followed(event, machine, "sync")[:1]
    found = machine.ask("images", "list")["images"]
    available = sum(image["state"] == "available" for image in found)
    event.set_results({"summary": "".join(summary), "available": available})


def list_images(event: ops.ActionEvent, machine: workload.Workload) -> None:
    """Tell which images the region has."""
    found = machine.ask("images", "list")["images"]
    lines = [
        f"{image['name']}  {image['state']}  {units.format_size(image['size'])}"
        for image in found[:_SHOWN]
    ]
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN} more; boot-resources images list has them all")
    event.set_results({"count": len(found), "images": "\n".join(lines) or "none"})


def verify_storage(event: ops.ActionEvent, machine: workload.Workload) -> None:
    """Have the region hash all that it holds; damaged objects are fetched again."""
    try:
        said = acting.followed(event, machine, "verify")
    except acting.Unfinished as error:
        if error.status != errors.EXIT_DAMAGED:
            raise
        event.set_results({"summary": "".join(error.results[:1])})
        raise problems.Problem(
            "objects were damaged, and are fetched again",
            "the log of this action names them; check the disk's health",
        ) from None
    event.set_results({"summary": "".join(said[:1])})


def migrate_images(
    event: ops.ActionEvent, machine: workload.Workload, charm: ops.CharmBase
) -> None:
    """Have the region take over the images of a MAAS database."""
    params = event.load_params(MigrateParams, errors="fail")
    params.require_one_order()
    if state.configured(charm).migration_database is None:
        raise problems.Problem(
            "no MAAS database is configured",
            f"juju add-secret NAME url#file=FILE, juju grant-secret NAME {charm.app.name}, juju "
            f"config {charm.app.name} migration-database=SECRET-ID",
        )
    try:
        said = acting.followed(event, machine, "migrate", *params.arguments())
    except acting.Unfinished as error:
        raise _in_the_words_of_the_action(error) from None
    # What went is one line, and how its space comes back another.
    summary = said if params.finish else said[-1:]
    event.set_results({"summary": "\n".join(summary)})


def _in_the_words_of_the_action(error: acting.Unfinished) -> problems.Problem:
    """Return why a migration is not done: what is open, or the engine's words."""
    still_open = [line for line in error.results if _OPEN.fullmatch(line)]
    if not still_open:
        return problems.Problem(_parameters(str(error)), _parameters(error.cure))
    others = f" (and {len(still_open) - 1} more)" if len(still_open) > 1 else ""
    image = json.dumps([still_open[0].split()[0]])
    return problems.Problem(
        f"not done yet: {still_open[0]}{others}",
        f"mend it in MAAS and run the action again, or give the image up: accept-lost='{image}'",
    )


def _parameters(text: str) -> str:
    """Return a text of the engine with the action and its parameters in place of its options."""
    text = text.replace("boot-resources migrate ", "migrate-images ")
    text = text.replace("--accept-lost NAME", """accept-lost='["NAME"]'""")
    return re.sub(r"--(check|online|finish|yes-i-have-a-backup|orphans)\b", r"\1=true", text)

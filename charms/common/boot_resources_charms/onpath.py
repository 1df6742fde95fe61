"""The commands that an operator types: one for each unit, and one for the first of them.

``boot-resources-region-0`` always means that unit, and runs as the user of its service, whoever
calls it: root, as from ``juju ssh``, leaves nothing behind that is root's. ``boot-resources`` is a
link to the command of one unit of this machine: of the first that came, and when that one goes, of
another that is left. What somebody else put there under that name stays.
"""

import pathlib

from . import failures, files, places, templates

_PREFIX = "boot-resources-"


def ensure(where: places.Places, launcher: pathlib.Path, owner: files.Owner) -> bool:
    """Have both commands; return whether anything changed.

    Args:
        where: the unit's places.
        launcher: what is run; it may be a link that moves.
        owner: root.

    Raises:
        failures.InstallFailed: they cannot be written.
    """
    text = templates.render(
        "command.sh.j2",
        unit=where.unit,
        user=where.user,
        settings=where.settings,
        launcher=launcher,
    )
    with failures.installing(f"write {where.unit_command}", f"see {where.unit_command.parent}"):
        files.ensure_parents(where.unit_command)
        changed = files.ensure(where.unit_command, text.encode(), files.PROGRAM, owner)
        if _is_free(where.command):
            target = pathlib.Path(where.unit_command.name)
            changed = files.ensure_link(where.command, target) or changed
    return changed


def remove(where: places.Places) -> bool:
    """Remove the unit's own command, and hand the other to a unit that is left, if it was ours.

    Raises:
        failures.InstallFailed: they cannot be removed.
    """
    with failures.installing(f"remove {where.unit_command}", f"see {where.unit_command.parent}"):
        if not where.unit_command.parent.is_dir():
            return False
        changed = files.ensure_absent(where.unit_command)
        # Ours is gone, so the link leads nowhere if it was to ours.
        if where.command.is_symlink() and _is_free(where.command):
            left = sorted(where.command.parent.glob(f"{_PREFIX}*"))
            if left:
                files.ensure_link(where.command, pathlib.Path(left[0].name))
            else:
                files.ensure_absent(where.command)
            changed = True
    return changed


def _is_free(path: pathlib.Path) -> bool:
    """Return whether nothing is there, or a link of ours whose unit is gone."""
    if not path.is_symlink():
        return not path.exists()
    target = path.readlink()
    return not path.exists() and str(target).startswith(_PREFIX)

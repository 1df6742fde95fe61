"""On which machine a controller can be."""

from . import problems, workload


def check(machine: workload.Workload, unit: str) -> None:
    """Return if a controller can be on this machine.

    Args:
        machine: the unit's.
        unit: as Juju names it: ``rack/0``.

    Raises:
        problems.Problem: MAAS is there, which holds our ports and keeps images of its own.
    """
    maas = machine.maas_here()
    if maas:
        raise problems.Problem(
            f"MAAS is installed on this machine ({maas})",
            f"add a unit on another machine, and juju remove-unit {unit}",
        )

"""Carrying out an action: progress goes to its log, a refusal becomes its failure."""

from collections.abc import Callable

import ops

from boot_resources import errors

from . import command, failures, problems, workload


class Unfinished(failures.CommandFailed):
    """A command that was followed did not end well.

    Attributes:
        results: what it said besides its progress, its remarks and their cures.
    """

    def __init__(self, error: failures.CommandFailed, results: tuple[str, ...]) -> None:
        super().__init__(str(error), error.cure, error.status)
        self.results = results


def carry_out(
    unit: ops.Unit,
    machine: workload.Workload,
    event: ops.ActionEvent,
    order: Callable[[], None],
) -> None:
    """Carry out an action; a refusal becomes its failure, and the unit says what it is at.

    Args:
        unit: this one.
        machine: the unit's.
        event: the action.
        order: does the work.
    """
    if machine.state().activity is workload.Activity.ABSENT:
        event.fail(f"this unit runs no service; see juju status {unit.name}")
        return
    name = event.handle.kind.removesuffix("_action").replace("_", "-")
    unit.status = ops.MaintenanceStatus(f"running the action {name}")
    try:
        order()
    except problems.Problem as problem:
        event.fail(problem.sentence)
    except errors.BootResourcesError as error:
        event.fail(problems.sentence(str(error), error.cure))
    except ops.ModelError as error:
        event.fail(problems.of_juju(error).sentence)


def followed(
    event: ops.ActionEvent, machine: workload.Workload, *arguments: str
) -> tuple[str, ...]:
    """Run a command to its end with its lines in the action's log; return ``command.results``.

    Raises:
        Unfinished: it did not end well.
    """
    lines: list[str] = []
    try:
        for line in machine.follow(*arguments):
            event.log(line)
            lines.append(line)
    except failures.CommandFailed as error:
        raise Unfinished(error, command.results(lines)) from None
    return command.results(lines)

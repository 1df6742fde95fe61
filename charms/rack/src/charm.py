#!/usr/bin/env python3
"""The charm of a rack: it caches boot images near the machines, and serves them.

Every event ends in one reconcile, which can be run again at any time: prepare the machine, tell
the regions what they need to know and ask for a certificate, write what they gave, write the
settings, and have the service run. A step that fails leaves what was written before it. The status
is collected from what is so now, so that it clears by itself.
"""

import functools
from collections.abc import Iterator

import ops

from boot_resources.plane import members
from boot_resources_charms import (
    acting,
    authority,
    failures,
    network,
    placement,
    problems,
    relations,
    status,
    workload,
)
from rack import orders, settings, state


class RackCharm(ops.CharmBase):
    """A rack unit."""

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        self.workload = workload.Workload(
            authority.plane_name(self.unit.name), members.Role.RACK, self.charm_dir
        )
        self._attempts = problems.Attempts()
        plane, storage = self.on[relations.PLANE], self.on[state.STORAGE]
        for event in (
            self.on.install,
            self.on.start,
            self.on.config_changed,
            self.on.update_status,
            plane.relation_created,
            plane.relation_joined,
            plane.relation_changed,
            plane.relation_departed,
            plane.relation_broken,
            storage.storage_attached,
        ):
            framework.observe(event, self._reconcile)
        framework.observe(self.on.upgrade_charm, self._on_upgrade_charm)
        framework.observe(storage.storage_detaching, self._on_stop)
        framework.observe(self.on.stop, self._on_stop)
        framework.observe(self.on.remove, self._on_remove)
        framework.observe(self.on.show_cache_action, self._on_show_cache)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)

    def _reconcile(self, _: ops.EventBase) -> None:
        is_prepared = self._attempts.make(self._prepare)
        if is_prepared:
            self._attempts.make(self._tell)
        is_enrolled = self._attempts.make(self._enrol)
        if is_prepared and is_enrolled:
            self._attempts.make(self._configure)
            self._attempts.make(self._serve)

    def _prepare(self) -> None:
        """Make the machine ready."""
        placement.check(self.workload, self.unit.name)
        self.workload.install()

    def _tell(self) -> None:
        """Tell the regions where this rack is and how its cache is; ask for a certificate."""
        told = relations.RackUnit(
            address=network.address(self.model, relations.PLANE),
            request=self.workload.ensure_key().decode(),
            model=self.model.uuid,
            cache=self._cache(),
        )
        relations.publish(state.plane(self), self.unit, told)

    def _cache(self) -> relations.CacheFigures | None:
        """Return how the cache is; None while the rack does not answer."""
        if self.workload.state().activity is not workload.Activity.ACTIVE:
            return None
        try:
            found = status.asked(self.workload, status.Rack).cache
        except failures.CommandFailed:
            return None
        return relations.CacheFigures.rounded(found.limit, found.used, found.hit_ratio)

    def _enrol(self) -> None:
        """Write who this rack is and whom it trusts: no option and no disk can hold that back."""
        if self.workload.places.settings_directory.is_dir():
            self.workload.ensure_files(state.given(self).files())

    def _configure(self) -> None:
        """Write the settings that the state says."""
        found = state.RackState.from_charm(self)
        self.workload.ensure_files(settings.rendered(found, self.workload.places, self.app.name))

    def _serve(self) -> None:
        """Have the service run with what is written, be it today's settings or the last good."""
        if not self.workload.places.settings.exists():
            return
        storage = network.storage(self.model, state.STORAGE)
        reads = settings.read_at_start(self.workload.places)
        outcome = self.workload.ensure_running(reads, [storage])
        if outcome is workload.Outcome.UNCHANGED:
            # Always, not only where a file changed: the hook before may have died in between.
            self.workload.reload()
        self.unit.set_ports(ops.Port("tcp", state.PORT))
        self.unit.set_workload_version(self.workload.state().running or "unknown")

    def _on_upgrade_charm(self, event: ops.UpgradeCharmEvent) -> None:
        self._attempts.make(self.workload.retry_upgrade)
        self._reconcile(event)

    def _on_stop(self, _: ops.EventBase) -> None:
        self._attempts.make(self.workload.stop)

    def _on_remove(self, _: ops.RemoveEvent) -> None:
        self._attempts.make(self.workload.remove)

    def _on_show_cache(self, event: ops.ActionEvent) -> None:
        order = functools.partial(orders.show_cache, event, self.workload)
        acting.carry_out(self.unit, self.workload, event, order)

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        for problem in self._attempts.problems:
            event.add_status(problem.status)
        for found in problems.caught(self._look()):
            event.add_status(found)

    def _look(self) -> Iterator[ops.StatusBase]:
        """Yield how this unit is now; an action changes nothing, and asks as well."""
        placement.check(self.workload, self.unit.name)
        service = self.workload.state()
        yield from status.of_service(service)
        state.RackState.from_charm(self)
        state.given(self)
        if service.activity is workload.Activity.ACTIVE:
            yield from status.of_rack(status.asked(self.workload, status.Rack))


if __name__ == "__main__":
    ops.main(RackCharm)

#!/usr/bin/env python3
"""The charm of a region: it keeps the images of a bare-metal cloud, and racks fetch them from it.

Every event ends in one reconcile, which can be run again at any time: prepare the machine and ask
for a certificate; as the leader, answer all who ask; write who may enter; write the settings, and
have the service run. A step that fails leaves what was written before it. The status is collected
from what is so now, so that it clears by itself.
"""

import os
from collections.abc import Callable, Iterator

import ops

from boot_resources.plane import members
from boot_resources_charms import (
    acting,
    authority,
    network,
    placement,
    problems,
    relations,
    status,
    workload,
)
from region import membership, orders, settings, state


class RegionCharm(ops.CharmBase):
    """A region unit."""

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        self.workload = workload.Workload(
            authority.plane_name(self.unit.name), members.Role.REGION, self.charm_dir
        )
        self._attempts = problems.Attempts()
        peers, plane = self.on[relations.PEERS], self.on[relations.PLANE]
        storage = self.on[state.STORAGE]
        for event in (
            self.on.install,
            self.on.start,
            self.on.config_changed,
            self.on.leader_elected,
            self.on.secret_changed,
            self.on.update_status,
            peers.relation_created,
            peers.relation_joined,
            peers.relation_changed,
            peers.relation_departed,
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
        framework.observe(self.on.sync_images_action, self._on_sync_images)
        framework.observe(self.on.list_images_action, self._on_list_images)
        framework.observe(self.on.verify_storage_action, self._on_verify_storage)
        framework.observe(self.on.migrate_images_action, self._on_migrate_images)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)

    def _reconcile(self, event: ops.EventBase) -> None:
        departing = None
        if isinstance(event, ops.RelationDepartedEvent):
            departing = event.departing_unit
        is_prepared = self._attempts.make(self._prepare)
        self._attempts.make(lambda: self._administer(departing))
        is_enrolled = self._attempts.make(self._enrol)
        if is_prepared and is_enrolled:
            self._attempts.make(self._configure)
            self._attempts.make(self._serve)

    def _prepare(self) -> None:
        """Make the machine ready, and ask the leader for a certificate."""
        self._check_place()
        self.workload.install()
        peers = self.model.get_relation(relations.PEERS)
        if peers is None:
            return
        asked = relations.Applicant(
            address=network.address(self.model, relations.PLANE),
            request=self.workload.ensure_key().decode(),
        )
        relations.publish(peers, self.unit, asked)

    def _check_place(self) -> None:
        """Return if a region can be here.

        Raises:
            problems.Problem: another unit is the region, or MAAS is on this machine.
        """
        serving = state.serving_unit(self)
        if serving not in ("", self.unit.name):
            raise problems.Problem(
                f"there is one region unit for now, and {serving} is it",
                f"juju remove-unit {self.unit.name}",
            )
        placement.check(self.workload, self.unit.name)

    def _administer(self, departing: ops.Unit | None) -> None:
        """As the leader, say who belongs, with which certificate."""
        if not self.unit.is_leader():
            return
        try:
            cache_size = state.configured(self).cache_size
        except problems.Problem:
            # What the racks were told stays; the mistake is said where the state is read.
            cache_size = None
        for problem in membership.administer(self, departing, cache_size):
            self._attempts.note(problem)

    def _enrol(self) -> None:
        """Write who this region is and who may enter: no option or secret can hold that back."""
        if self.workload.places.settings_directory.is_dir():
            self.workload.ensure_files(state.given(self).files())

    def _configure(self) -> None:
        """Write the settings that the state says."""
        found = state.RegionState.from_charm(self, os.environ)
        self.workload.ensure_files(settings.rendered(found, self.workload.places, self.app.name))

    def _serve(self) -> None:
        """Have the service run with what is written, be it today's settings or the last good."""
        if not self.workload.places.settings.exists():
            return
        storage = network.storage(self.model, state.STORAGE)
        self.workload.ensure_running(settings.read_at_start(self.workload.places), [storage])
        self.unit.set_ports(ops.Port("tcp", state.PORT))
        self.unit.set_workload_version(self.workload.state().running or "unknown")

    def _on_upgrade_charm(self, event: ops.UpgradeCharmEvent) -> None:
        self._attempts.make(self.workload.retry_upgrade)
        self._reconcile(event)

    def _on_stop(self, _: ops.EventBase) -> None:
        self._attempts.make(self.workload.stop)

    def _on_remove(self, _: ops.RemoveEvent) -> None:
        self._attempts.make(self.workload.remove)

    def _on_sync_images(self, event: ops.ActionEvent) -> None:
        self._carry_out(event, lambda: orders.sync_images(event, self.workload))

    def _on_list_images(self, event: ops.ActionEvent) -> None:
        self._carry_out(event, lambda: orders.list_images(event, self.workload))

    def _on_verify_storage(self, event: ops.ActionEvent) -> None:
        self._carry_out(event, lambda: orders.verify_storage(event, self.workload))

    def _on_migrate_images(self, event: ops.ActionEvent) -> None:
        self._carry_out(event, lambda: orders.migrate_images(event, self.workload, self))

    def _carry_out(self, event: ops.ActionEvent, order: Callable[[], None]) -> None:
        acting.carry_out(self.unit, self.workload, event, order)

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        for problem in self._attempts.problems:
            event.add_status(problem.status)
        for found in problems.caught(self._look()):
            event.add_status(found)

    def _look(self) -> Iterator[ops.StatusBase]:
        """Yield how this unit is now; an action changes nothing, and asks as well."""
        self._check_place()
        service = self.workload.state()
        yield from status.of_service(service)
        state.RegionState.from_charm(self, os.environ)
        state.given(self)
        if service.activity is workload.Activity.ACTIVE:
            yield from status.of_region(status.asked(self.workload, status.Region))


if __name__ == "__main__":
    ops.main(RegionCharm)

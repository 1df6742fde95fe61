"""The leader's desk: who belongs to this deployment, with which certificate, told to all of them.

Only the leader works here, and everything follows from what is said in the relations now: a unit
that left has no certificate and is no member at the next turn, a leader that is new says what the
one before it said. Which unit is the region is recorded, so that it stays the same when the
leadership moves. Options have no part in it but the size of the racks' caches: a mistake there
never keeps a rack from joining.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import ops

from boot_resources import units
from boot_resources.plane import members
from boot_resources_charms import authority, network, problems, relations

from . import state


@dataclasses.dataclass(frozen=True)
class _Asking:
    """Those who take part in the relations.

    Attributes:
        applicants: who asks for a certificate.
        silent: units that are there and cannot be understood; what they have, they keep.
        problems: why they cannot be.
    """

    applicants: list[authority.Applicant]
    silent: set[str]
    problems: list[problems.Problem]


def administer(
    charm: ops.CharmBase, departing: ops.Unit | None, cache_size: int | None
) -> list[problems.Problem]:
    """Issue what certificates are due and tell every relation; return who got none and why.

    Args:
        charm: of the leader.
        departing: a unit that is about to leave, and belongs no more.
        cache_size: bytes for each rack's cache; None leaves it as it was said.

    Raises:
        problems.Problem: nobody can be told, or there is no authority.
    """
    peers = charm.model.get_relation(relations.PEERS)
    if peers is None:
        raise problems.Waiting("waiting for Juju to relate the regions to one another")
    before = relations.read(peers, charm.app, relations.PeerApplication)
    racks = {
        relation: relations.read(relation, charm.app, relations.RegionApplication)
        for relation in charm.model.relations[relations.PLANE]
    }
    ours = {charm.unit.name, *(unit.name for unit in _others(peers, departing))}
    serving = chosen(
        before.region if before else "", charm.unit.name, ours, charm.app.planned_units()
    )
    try:
        signer = authority.held_by(charm.app, charm.model, before.authority if before else "")
    except (problems.Problem, ops.ModelError):
        staying = {unit.name for _, unit, _ in _everybody(charm, peers, departing, serving)}
        _dismiss(charm, {peers: before, **racks}, staying)
        raise
    asking = _asking(charm, peers, departing, serving)
    roll = authority.enrol(
        signer, asking.applicants, asking.silent, _issued(before, racks), units.utc_now()
    )
    relations.publish(
        peers,
        charm.app,
        relations.PeerApplication(
            region=serving,
            authority=signer.certificate_pem,
            certificates=_of(roll, ours),
            members=roll.members,
        ),
    )
    regions = _regions(roll, serving, asking.applicants)
    for relation, said in racks.items():
        relations.publish(
            relation,
            charm.app,
            relations.RegionApplication(
                regions=regions or (said.regions if said else ()),
                authority=signer.certificate_pem,
                certificates=_of(roll, {unit.name for unit in _others(relation, departing)}),
                members=roll.members,
                cache_size=cache_size or (said.cache_size if said else None),
                model=charm.model.uuid,
            ),
        )
    return [*asking.problems, *roll.refused.values()]


def chosen(before: str, leader: str, present: set[str], planned: int) -> str:
    """Return which unit is the region: the one that was, or the leader where that one is gone.

    A new leader may not have met all others yet: who is not to be seen is gone only where as many
    units are to be seen as there should be.

    Args:
        before: the unit that was; empty where none was.
        leader: the unit that asks.
        present: the units that it sees, itself included.
        planned: how many there should be.
    """
    is_there = before in present or (before and len(present) < planned)
    return before if is_there else leader


def _dismiss(
    charm: ops.CharmBase,
    said: Mapping[ops.Relation, relations.PeerApplication | relations.RegionApplication | None],
    staying: set[str],
) -> None:
    """Say who belongs no more: that needs nobody who can sign."""
    names = {authority.plane_name(unit) for unit in staying}
    for relation, bag in said.items():
        if bag is not None:
            kept = {unit: pem for unit, pem in bag.certificates.items() if unit in staying}
            listed = tuple(member for member in bag.members if member.name in names)
            update = {"certificates": kept, "members": listed}
            relations.publish(relation, charm.app, bag.model_copy(update=update))


def _asking(
    charm: ops.CharmBase, peers: ops.Relation, departing: ops.Unit | None, serving: str
) -> _Asking:
    found = _Asking([], set(), [])
    for relation, unit, role in _everybody(charm, peers, departing, serving):
        try:
            said = relations.read(relation, unit, relations.Applicant)
        except problems.Problem as problem:
            found.silent.add(unit.name)
            found.problems.append(problem)
            continue
        if said is None:
            continue
        try:
            relations.check_model(charm.model, said.model, unit.name)
        except problems.Problem as problem:
            found.problems.append(problem)
            continue
        found.applicants.append(authority.Applicant(unit.name, role, said.address, said.request))
    return found


def _everybody(
    charm: ops.CharmBase, peers: ops.Relation, departing: ops.Unit | None, serving: str
) -> Iterator[tuple[ops.Relation, ops.Unit, members.Role]]:
    """Yield who may belong: the region, and all racks; regions that stand by need no right."""
    for unit in (charm.unit, *_others(peers, departing)):
        if unit.name == serving:
            yield peers, unit, members.Role.REGION
    for relation in charm.model.relations[relations.PLANE]:
        for unit in _others(relation, departing):
            yield relation, unit, members.Role.RACK


def _others(relation: ops.Relation, departing: ops.Unit | None) -> list[ops.Unit]:
    """Return the other side of a relation, without who is about to leave it."""
    staying = [unit for unit in relation.units if unit != departing]
    return sorted(staying, key=lambda unit: unit.name)


def _issued(
    before: relations.PeerApplication | None,
    racks: Mapping[ops.Relation, relations.RegionApplication | None],
) -> dict[str, str]:
    """Return all certificates that were issued so far, PEM, by unit."""
    issued = dict(before.certificates) if before else {}
    for said in racks.values():
        issued |= said.certificates if said else {}
    return issued


def _of(roll: authority.Roll, names: set[str]) -> dict[str, str]:
    return {unit: pem for unit, pem in roll.certificates.items() if unit in names}


def _regions(
    roll: authority.Roll, serving: str, applicants: list[authority.Applicant]
) -> tuple[relations.Region, ...]:
    """Return where the region is, once it has a certificate to answer with."""
    return tuple(
        relations.Region(name=each.name, address=network.with_port(each.address, state.PORT))
        for each in applicants
        if each.unit == serving and each.unit in roll.certificates
    )

"""The two charms on a stage of ``ops.testing``: a unit, its machine, and what Juju says to it.

``region(...)`` and ``rack(...)`` run one event after the other; each sees the state that the one
before it left, as with Juju. What a test wants different it changes in between.
"""

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ops
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ops import testing
from scenario import mocking

from boot_resources import units
from boot_resources.plane import members
from boot_resources_charms import authority, relations
from support import workloads

CHARMS = Path(__file__).resolve().parents[2] / "charms"
PEERS, PLANE = relations.PEERS, relations.PLANE
REGION_ANSWER = {"controller": "region", "images": 3, "notices": [], "sync": {"phase": "idle"}}
RACK_ANSWER = {
    "controller": "rack",
    "images": 3,
    "notices": [],
    "names_age": 1.5,
    "regions": [],
    "cache": {"limit": 4 << 30, "used": 1 << 20, "hit_ratio": None},
}


def charm_of(role: str) -> type[ops.CharmBase]:
    """Return the class of a charm; both are in a module ``charm``, so each gets a name here."""
    name = f"{role}_charm"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, CHARMS / role / "src" / "charm.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    found: type[ops.CharmBase] = getattr(sys.modules[name], f"{role.title()}Charm")
    return found


def request() -> str:
    """Return a certificate request for a new key, PEM."""
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = asked.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def bag(**fields: Any) -> dict[str, str]:
    """Return what a unit says, each field in JSON; a field's ``_`` is a hyphen in the bag."""
    said = {"schema": relations.SCHEMA} | fields
    return {key.replace("_", "-"): json.dumps(value) for key, value in said.items()}


def said(relation: testing.RelationBase, field: str) -> Any:
    """Return a field of the application's own bag."""
    bags: Mapping[str, str] = relation.local_app_data
    return json.loads(bags[field])


def said_by(relation: testing.Relation, field: str) -> Any:
    """Return a field of the remote application's bag."""
    bags: Mapping[str, str] = relation.remote_app_data
    return json.loads(bags[field])


def own(relation: testing.RelationBase) -> Mapping[str, str]:
    """Return the unit's own bag."""
    bags: Mapping[str, str] = relation.local_unit_data
    return bags


def refuse(patch: pytest.MonkeyPatch, tool: str) -> None:
    """Have a tool of Juju's end with an error, as where the agent lost its controller."""

    def refusing(*_: Any, **__: Any) -> Any:
        raise ops.ModelError("ERROR lost the connection")

    patch.setattr(mocking._MockModelBackend, tool, refusing)


class Stage:
    """One unit of a charm.

    Attributes:
        state: what Juju has now; what an event left.
        machine: the unit's machine.
    """

    def __init__(
        self,
        role: str,
        machine: workloads.FakeWorkload,
        state: testing.State,
        unit_id: int = 0,
        juju: str = "3.6.14",
    ) -> None:
        self.context = testing.Context(
            charm_of(role), app_name=role, unit_id=unit_id, juju_version=juju
        )
        self.machine = machine
        self.state = state

    @property
    def on(self) -> Any:
        """The events that can happen."""
        return self.context.on

    @property
    def status(self) -> ops.StatusBase:
        """How the unit is."""
        found = self.state.unit_status
        status: ops.StatusBase = ops.StatusBase.from_name(found.name, found.message)
        return status

    def run(self, event: Any) -> testing.State:
        """Let something happen; return what is so afterwards."""
        self.state = self.context.run(event, self.state)
        return self.state

    def configure(self, **options: str | int | bool) -> ops.StatusBase:
        """Set options, ``_`` for the hyphen, and return how the unit is then."""
        changed = {name.replace("_", "-"): value for name, value in options.items()}
        self.change(config={**self.state.config, **changed})
        self.run(self.on.config_changed())
        return self.status

    def change(self, **fields: Any) -> None:
        """Change what Juju has."""
        self.state = dataclasses.replace(self.state, **fields)

    def relation(self, endpoint: str) -> Any:
        """Return the first relation of an endpoint, as it is now."""
        return self.state.get_relations(endpoint)[0]

    def relate(self, *others: testing.RelationBase) -> None:
        """Put relations in place of those with the same number, or beside them."""
        ids = {other.id for other in others}
        kept = [each for each in self.state.relations if each.id not in ids]
        self.change(relations=[*kept, *others])

    def act(self, action: str, **params: Any) -> dict[str, Any] | None:
        """Run an action; return its results.

        Raises:
            testing.ActionFailed: it failed.
        """
        event = self.on.action(action, params=params)
        self.state = self.context.run(event, self.state)
        return self.context.action_results


def region(
    machine: workloads.FakeWorkload,
    *,
    leader: bool = True,
    unit_id: int = 0,
    planned: int = 1,
    juju: str = "3.6.14",
) -> Stage:
    """Return a region unit to which nothing has happened yet."""
    machine.answers.setdefault(("status",), REGION_ANSWER)
    state = testing.State(
        leader=leader,
        planned_units=planned,
        relations=[testing.PeerRelation(PEERS, peers_data={})],
        storages=[testing.Storage("image-storage")],
    )
    return Stage("region", machine, state, unit_id, juju)


def rack(machine: workloads.FakeWorkload, *relations_: testing.RelationBase) -> Stage:
    """Return a rack unit to which nothing has happened yet."""
    machine.answers.setdefault(("status",), RACK_ANSWER)
    state = testing.State(relations=[*relations_], storages=[testing.Storage("cache")])
    return Stage("rack", machine, state)


class Regions:
    """The regions as a rack sees them: their leader, in a relation.

    Attributes:
        relation: as it is now.
    """

    def __init__(self) -> None:
        self._signer = authority.Authority.create(units.utc_now())
        self._issued: Mapping[str, str] = {}
        self.relation = testing.Relation(PLANE, remote_app_name="region")

    @property
    def authority(self) -> str:
        """The certificate that all are to trust, PEM."""
        return self._signer.certificate_pem

    def forget(self) -> None:
        """Forget what was issued: the next answer has another certificate for the same key."""
        self._issued = {}

    def answer(self, stage: Stage, **fields: Any) -> None:
        """Say what a leader says to the rack that asked; ``fields`` in place of what it would."""
        asked = stage.relation(PLANE)
        bags = own(asked)
        rack = authority.Applicant(
            "rack/0", members.Role.RACK, json.loads(bags["address"]), json.loads(bags["request"])
        )
        roll = authority.enrol(self._signer, [rack], (), self._issued, units.utc_now())
        self._issued = roll.certificates
        whole = {
            "regions": [{"name": "region-0", "address": "192.0.2.10:5290"}],
            "authority": self.authority,
            "certificates": dict(roll.certificates),
            "members": [dataclasses.asdict(each) for each in roll.members],
            "cache_size": 4 << 30,
        }
        self.relation = dataclasses.replace(asked, remote_app_data=bag(**(whole | fields)))
        stage.relate(self.relation)


def answered(stage: Stage, leader: Regions, **fields: Any) -> Stage:
    """Have the rack ask, and the regions' leader answer; ``fields`` in place of what it would."""
    stage.run(stage.on.relation_created(stage.relation(PLANE)))
    leader.answer(stage, **fields)
    stage.run(stage.on.relation_changed(stage.relation(PLANE)))
    return stage


def written(stage: Stage) -> list[str]:
    """Return all that a rack was told."""
    names = ("rack.toml", "controller.crt", "authority.crt", "members.json")
    return [stage.machine.read(name) for name in names]

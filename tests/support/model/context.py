"""One run of a hook or action: what it has written so far, kept apart until it ends with 0."""

import copy
import dataclasses
import secrets

from . import machines, relations, state


class Refused(Exception):
    """A hook tool fails, with this message, because the charm asked for what it must not.

    Attributes:
        ordinary: whether a charm in order may meet this too, such as a secret that was not
            granted yet: the simulator does not count it against the charm.
    """

    def __init__(self, message: str, *, ordinary: bool = False) -> None:
        super().__init__(message)
        self.ordinary = ordinary


@dataclasses.dataclass(frozen=True)
class Refusal:
    """What the simulator refused: in which hook of which unit, the command, and why."""

    unit: str
    hook: str
    command: tuple[str, ...]
    message: str


class Context:
    """What a running hook reads, and what it has written.

    Attributes:
        id: names this run; once it is over, tools that still name it are refused.
        ports: that are open if the hook ends well.
        secrets: all of the model's as they will be if the hook ends well.
        state: the unit's stored state, likewise.
        calls: each command that the charm ran, in order.
    """

    def __init__(self, world: state.World, unit: state.Unit, hook: state.Hook) -> None:
        self.world = world
        self.unit = unit
        self.hook = hook
        self.id = f"{unit.name}-{hook.name}-{secrets.token_hex(8)}"
        self.application = world.applications[unit.application]
        self.ports = set(unit.ports)
        self.secrets = copy.deepcopy(world.secrets)
        self.state = dict(unit.state)
        self.calls: list[tuple[str, ...]] = []
        self._bags: dict[tuple[int, str], dict[str, str]] = {}

    @property
    def leads(self) -> bool:
        """Whether this unit leads its application."""
        return self.application.leader == self.unit.name

    def own_bag(self, relation: relations.Relation, owner: str) -> dict[str, str]:
        """Return the bag of this unit or its application, with what this hook wrote to it."""
        key = relation.number, owner
        if key not in self._bags:
            self._bags[key] = dict(_bag(relation, owner).content)
        return self._bags[key]

    def keep(self) -> list[str]:
        """Make what was written hold; return what this really changed, for people to read."""
        changed = []
        for (number, owner), content in self._bags.items():
            relation = self.world.relations[number]
            keys = _bag(relation, owner).publish(content)
            if keys:
                bag = f"{relation.id_for(self.application.name)} of {owner}"
                changed.append(f"{bag}: {', '.join(keys)}")
        self.unit.ports = self.ports
        self.world.secrets = self.secrets
        self.unit.state = self.state
        return changed

    def environment(self, tools: str, socket: str) -> dict[str, str]:
        """Return the environment of the charm's process.

        Args:
            tools: where the machine sees the hook tools.
            socket: where it sees their socket.
        """
        world, unit, hook = self.world, self.unit, self.hook
        charm = f"{unit.agent_directory}/charm"
        action = hook.action
        env = {
            "PATH": f"{tools}:{machines.PATH}",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            "JUJU_CHARM_DIR": charm,
            "JUJU_CONTEXT_ID": self.id,
            "JUJU_HOOK_NAME": "" if action else hook.name,
            "JUJU_DISPATCH_PATH": f"{'actions' if action else 'hooks'}/{hook.name}",
            "JUJU_AGENT_SOCKET_ADDRESS": socket,
            "JUJU_AGENT_SOCKET_NETWORK": "unix",
            "JUJU_UNIT_NAME": unit.name,
            "JUJU_MODEL_NAME": world.name,
            "JUJU_MODEL_UUID": world.uuid,
            "JUJU_MACHINE_ID": world.machine_of(unit),
            "JUJU_API_ADDRESSES": "192.0.2.1:17070",
            "JUJU_AVAILABILITY_ZONE": "",
            "JUJU_PRINCIPAL_UNIT": "",
            "JUJU_VERSION": world.version,
            "JUJU_CHARM_HTTP_PROXY": world.proxies.get("http", ""),
            "JUJU_CHARM_HTTPS_PROXY": world.proxies.get("https", ""),
            "JUJU_CHARM_FTP_PROXY": "",
            "JUJU_CHARM_NO_PROXY": world.proxies.get("no", ""),
        }
        if world.before_4:
            env["CHARM_DIR"] = charm
        if action is not None:
            env["JUJU_ACTION_NAME"] = action.name
            env["JUJU_ACTION_UUID"] = str(action.id)
            env["JUJU_ACTION_TAG"] = f"action-{action.id}"
        return env | self._of_relation() | self._of_storage() | self._of_secret()

    def _of_relation(self) -> dict[str, str]:
        hook = self.hook
        if hook.relation is None:
            return {}
        relation = self.world.relations[hook.relation]
        env = {
            "JUJU_RELATION": relation.endpoints[self.application.name],
            "JUJU_RELATION_ID": relation.id_for(self.application.name),
            "JUJU_REMOTE_APP": hook.remote_app,
            "JUJU_REMOTE_UNIT": hook.remote_unit,
        }
        return env | ({"JUJU_DEPARTING_UNIT": hook.departing} if hook.departing else {})

    def _of_storage(self) -> dict[str, str]:
        if not self.hook.storage:
            return {}
        storage = self.unit.storage[self.hook.storage]
        return {
            "JUJU_STORAGE_ID": storage.id,
            "JUJU_STORAGE_LOCATION": storage.location,
            "JUJU_STORAGE_KIND": storage.kind,
        }

    def _of_secret(self) -> dict[str, str]:
        if not self.hook.secret:
            return {}
        label = self.unit.tracked[self.hook.secret].label
        return {"JUJU_SECRET_ID": f"secret:{self.hook.secret}", "JUJU_SECRET_LABEL": label}


def _bag(relation: relations.Relation, owner: str) -> relations.Bag:
    return relation.units[owner] if "/" in owner else relation.apps[owner]

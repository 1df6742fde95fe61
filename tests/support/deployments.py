"""The charms deployed on real hosts by a simulator of a model, beside a signed source.

A ``Deployment`` is a network of hosts, a source that listens on it, and a model whose machines
the hosts are. What an operator does goes through ``cloud``; what a machine does that boots is
done from here, over the bridge.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import pathlib
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from boot_resources import units
from boot_resources.demo import origin, signed_source
from support import hosts, relays
from support.model import machines, model

PATIENCE = 180.0
"""Seconds after which what should come about by itself is stuck."""
SIZE = 4 * units.MIB
RACK_PORT = 5248
EVERYTHING = '[{os: "*", release: "*"}]'


@dataclasses.dataclass
class Deployment:
    """Charms on hosts.

    Attributes:
        network: the hosts'.
        source: what the region is to bring.
        served: the server of that source; it counts.
        url: of that source, on the network.
        cloud: the model.
        booted: the machines of the model, by their ids.
    """

    network: hosts.Network
    source: signed_source.SignedSource
    served: origin.Origin
    url: str
    cloud: model.Model
    booted: dict[str, hosts.Host] = dataclasses.field(default_factory=dict)

    # What an operator does.

    def add_host(self) -> hosts.Host:
        """Boot a host and take it into the model."""
        host = self.network.host(f"machine-{len(self.booted)}")
        self.booted[self.cloud.add_machine(machines.HostMachine(host))] = host
        return host

    def use_source(self, application: str = "region") -> None:
        """Have a region bring all of the source, whose key it is given."""
        keyring = (self.source.directory / "keyring.asc").read_text()
        self.cloud.config(
            application, source_url=self.url, source_keyring=keyring, selections=EVERYTHING
        )

    def publish(self) -> None:
        """Have the source publish what was added to it."""
        # Dates have seconds: in the same second the new documents would be refused.
        self.source.publish(units.utc_now() + datetime.timedelta(minutes=1))

    def settle(self) -> None:
        """Run the hooks that are due; no charm may ask for what it must not."""
        self.cloud.settle()
        assert self.cloud.refusals == []

    def wait_until_active(self, *names: str) -> None:
        """Run hooks until these units, or all, are active; time passes in between."""
        self.settle()
        self.wait_until(lambda: self._all_active(names), self._statuses)

    def ask(self, unit: str, *words: str) -> Any:
        """Return what the command of a unit says, as JSON, on the unit's own host."""
        name = unit.replace("/", "-")
        host = self.host_of(unit)
        return json.loads(host.says(f"boot-resources-{name}", *words, "--json"))

    def status(self, unit: str) -> dict[str, Any]:
        """Return what a unit's service says of itself."""
        (found,) = self.ask(unit, "status")
        status: dict[str, Any] = found
        return status

    def host_of(self, unit: str) -> hosts.Host:
        """Return the host that a unit is on."""
        machine = self.cloud.world.units[unit].machine
        (found,) = [
            host for id_, host in self.booted.items() if self.cloud.world.machines[id_] is machine
        ]
        return found

    def process_of(self, unit: str) -> str:
        """Return the process id of a unit's service, on its host."""
        return self.host_of(unit).says("systemctl", "show", "-P", "MainPID", service_of(unit))

    # What a machine does.

    def fetched(self, unit: str, path: str) -> bytes:
        """Return what a machine gets from a rack; nothing where the rack has it not (yet)."""
        url = f"http://{self.host_of(unit).address}:{RACK_PORT}/images/{path}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as reply:
                body: bytes = reply.read()
                return body
        except urllib.error.URLError:
            return b""

    def gets(self, unit: str, wanted: signed_source.Truth) -> bool:
        """Return whether a machine gets an item from a rack, and right."""
        body = self.fetched(unit, f"{name_of(wanted)}/{wanted.filename}")
        return hashlib.sha256(body).hexdigest() == wanted.sha256

    def wait_until_served(self, unit: str, wanted: Sequence[signed_source.Truth] = ()) -> None:
        """Wait until machines get these items, or all of the source, from a rack."""
        left = list(wanted or self.source.truth)

        def is_served() -> bool:
            left[:] = [each for each in left if not self.gets(unit, each)]
            return not left

        self.wait_until(is_served, lambda: f"not served: {left}")

    def wait_until(self, condition: Callable[[], object], state: Callable[[], object]) -> None:
        """Wait until something comes about; what ``state`` returns is told where it does not."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, state()
            time.sleep(0.2)

    def _all_active(self, names: Sequence[str]) -> bool:
        statuses = [self.cloud.status(name) for name in names or self.cloud.world.units]
        if all(each.name == "active" for each in statuses):
            return True
        self.cloud.update_status()
        self.settle()
        return False

    def _statuses(self) -> dict[str, Any]:
        return {name: self.cloud.status(name) for name in self.cloud.world.units}


def service_of(unit: str) -> str:
    """Return the name of a unit's systemd unit."""
    return f"boot-resources-{unit.replace('/', '-')}.service"


def name_of(item: signed_source.Truth) -> str:
    """Return the name of the image that an item belongs to."""
    product = (item.os, item.arch, item.subarch, item.release, item.label)
    return "/".join((*product, item.version))


@contextlib.contextmanager
def begun(directory: pathlib.Path, version: str) -> Iterator[Deployment]:
    """Yield a network with a source and a model, in which nothing is deployed yet.

    Args:
        directory: where the source lies.
        version: the model's, for example ``3.6.14``.
    """
    with contextlib.ExitStack() as ends:
        network = ends.enter_context(hosts.network())
        source = ends.enter_context(signed_source.small_cloud(directory / "source", SIZE))
        served = ends.enter_context(origin.Origin(source.directory))
        url = urllib.parse.urlsplit(served.url)
        assert url.port is not None
        relay = ends.enter_context(relays.Relay(url.port, network.address))
        cloud = ends.enter_context(model.Model(version))
        there = f"http://{network.address}:{relay.port}/"
        yield Deployment(network, source, served, there, cloud)

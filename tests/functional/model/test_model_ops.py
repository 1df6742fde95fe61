"""A charm written with ops meets nothing in the simulator that it does not expect."""

from support import small_charms
from support.model import state

PEERS = {"cluster": {"interface": "cluster"}}
PROVIDES = {"racks": {"interface": "images"}}
REQUIRES = {"regions": {"interface": "images", "limit": 1}}
DISPATCH = 'os.execv(sys.executable, [sys.executable, "src/charm.py"])'
REGION = """
import json
import ops

class Region(ops.CharmBase):
    def __init__(self, framework):
        super().__init__(framework)
        for event in self.on.events().values():
            if issubclass(event.event_type, ops.LifecycleEvent) or "action" in event.event_kind:
                continue
            framework.observe(event, self._reconcile)
        framework.observe(self.on["list"].action, self._list)
        framework.observe(self.on.collect_unit_status, self._status)

    def _reconcile(self, event):
        self.unit.set_ports(5290)
        self.unit.set_workload_version("1.2")
        self._authority()
        self._database()
        for relation in self.model.relations["racks"]:
            for unit in relation.units:
                if self.unit.is_leader():
                    signed = f"signed {relation.data[unit].get('request')}"
                    relation.data[self.app][unit.name.replace("/", "-")] = signed
        for relation in self.model.relations["cluster"]:
            address = self.model.get_binding(relation).network.bind_address
            relation.data[self.unit]["address"] = str(address)

    def _authority(self):
        try:
            self.model.get_secret(label="authority").get_content()
        except ops.SecretNotFoundError:
            if self.unit.is_leader():
                self.app.add_secret({"key": "PEM"}, label="authority", description="signs")

    def _database(self):
        self.database = ""
        secret = self.config.get("database")
        if secret:
            try:
                self.database = self.model.get_secret(id=secret).get_content(refresh=True)["url"]
            except ops.ModelError as error:
                self.database = f"not granted: {error}"

    def _list(self, event):
        event.log("listing")
        event.set_results({"images": {"count": 3}, "where": str(event.params)})

    def _status(self, event):
        self._database()
        stores = [store.location for store in self.model.storages["store"]]
        event.add_status(ops.ActiveStatus(f"{self.database} {stores} {self.app.planned_units()}"))

ops.main(Region)
"""
RACK = """
import ops

class Rack(ops.CharmBase):
    def __init__(self, framework):
        super().__init__(framework)
        framework.observe(self.on["regions"].relation_created, self._ask)
        framework.observe(self.on["regions"].relation_changed, self._changed)
        framework.observe(self.on["regions"].relation_departed, self._gone)
        framework.observe(self.on["regions"].relation_broken, self._gone)

    def _ask(self, event):
        event.relation.data[self.unit]["request"] = "CSR"

    def _changed(self, event):
        found = event.relation.data[event.app].get("rack-0", "nothing yet")
        self.unit.status = ops.ActiveStatus(found)

    def _gone(self, event):
        left = [unit.name for unit in event.relation.units]
        self.unit.status = ops.BlockedStatus(f"{type(event).__name__} {left}")

ops.main(Rack)
"""


def start(cloud: small_charms.Cloud) -> None:
    """Start a region and a rack."""
    cloud.start(
        "region",
        DISPATCH,
        files={"src/charm.py": REGION},
        peers=PEERS,
        provides=PROVIDES,
        storage={"store": {"type": "filesystem"}},
        config={"database": {"type": "secret"}},
        actions={"list": {"additionalProperties": False}},
    )
    cloud.start("rack", DISPATCH, files={"src/charm.py": RACK}, requires=REQUIRES)
    cloud.integrate("region", "rack")
    cloud.settle()
    assert cloud.status("rack/0") == state.Status("active", "signed CSR")
    assert cloud.unit("region/0").ports == {"5290/tcp"}
    assert cloud.unit("region/0").version == "1.2"
    assert cloud.bag(1, "region/0")["address"] == "127.0.0.1"
    assert [secret.label for secret in cloud.world.secrets.values()] == ["authority"]
    assert cloud.refusals == []


def test_a_charm_written_with_ops_starts_on_juju_4(cloud_4: small_charms.Cloud) -> None:
    start(cloud_4)


def test_a_charm_written_with_ops_lives_its_life(cloud: small_charms.Cloud) -> None:
    start(cloud)
    uri = cloud.add_secret("database", {"url": "one"})
    cloud.config("region", database=uri)
    cloud.settle()
    assert "not granted: ERROR permission denied" in cloud.message("region/0")
    cloud.grant_secret("database", "region")
    cloud.update_status()
    cloud.settle()
    cloud.update_secret("database", {"url": "two"})
    cloud.settle()
    assert cloud.hooks_of("region/0")[-1] == "secret-changed"
    assert cloud.message("region/0") == f"two [PosixPath('{cloud.machine.storage}/store/0')] 1"

    action = cloud.run("region/0", "list")
    assert (action.log, action.results) == (["listing"], {"images": {"count": "3"}, "where": "{}"})

    cloud.remove_application("region")
    cloud.settle()
    statuses = [status.message for status in cloud.unit("rack/0").statuses]
    assert statuses[-2:] == ["RelationDepartedEvent []", "RelationBrokenEvent []"]
    assert list(cloud.world.units) == ["rack/0"]
    assert cloud.refusals == []

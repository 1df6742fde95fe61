"""A region and a rack on one host: each has its own, and what is removed leaves nothing behind.

Here the model is that of Juju 4.
"""

from collections.abc import Iterator

import pytest

from support import deployments, hosts, packing
from support.deployments import Deployment

REGION, RACK = "region/0", "rack/0"


@pytest.fixture(scope="module")
def together(
    charms: packing.Packed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Give a region and its rack on one host, serving."""
    with deployments.begun(tmp_path_factory.mktemp("together"), "4.0.2") as deployment:
        deployment.add_host()
        deployment.cloud.deploy(charms.region, "region", to=["0"])
        deployment.cloud.deploy(charms.rack, "rack", to=["0"])
        deployment.cloud.integrate("region", "rack")
        deployment.use_source()
        deployment.wait_until_active()
        deployment.wait_until_served(RACK)
        yield deployment


def traces(host: hosts.Host, name: str) -> list[str]:
    """Return what on a host has a name with ``name`` in it, the content of storage aside."""
    elsewhere = ["-path", "/var/lib/juju/storage", "-o", "-path", str(hosts.SHARED)]
    where = ["find", "/", "-xdev", "(", *elsewhere, ")", "-prune", "-o"]
    found = host.says(*where, "-name", f"*{name}*", "-print").splitlines()
    units = ["systemctl", "list-units", "--all", "--plain", "--no-legend", f"*{name}*"]
    found += host.says(*units).splitlines()
    for database in ("passwd", "group"):
        entries = host.says("getent", database).splitlines()
        found += [entry for entry in entries if name in entry]
    return found


def storage_of(deployment: Deployment, unit: str) -> str:
    """Return where a unit's storage is on its host."""
    (storage,) = deployment.cloud.world.units[unit].storage.values()
    return storage.location


def test_each_has_its_own_process_user_files_and_command(together: Deployment) -> None:
    host = together.host_of(REGION)
    assert host is together.host_of(RACK)
    for unit, name in ((REGION, "region"), (RACK, "rack")):
        assert together.status(unit)["controller"] == name
    users = {
        host.says("ps", "-o", "user:40=", "-p", together.process_of(unit))
        for unit in (REGION, RACK)
    }
    assert users == {"boot-resources-region-0", "boot-resources-rack-0"}
    # Short, it is the command of the unit that came first.
    assert "region region-0" in " ".join(host.says("boot-resources", "status").split())


def test_what_is_removed_leaves_its_storage_and_nothing_else(together: Deployment) -> None:
    host = together.host_of(REGION)
    assert traces(host, "rack-0"), "or the search finds nothing ever"
    cache, region = storage_of(together, RACK), together.process_of(REGION)
    together.cloud.remove_application("rack")
    together.settle()
    assert RACK not in together.cloud.world.units
    assert traces(host, "rack-0") == []
    assert host.says("ls", cache)
    assert together.process_of(REGION) == region
    assert together.status(REGION)["name"] == "region-0"

    images = storage_of(together, REGION)
    together.cloud.remove_application("region")
    together.settle()
    assert traces(host, "boot-resources") == []
    assert host.says("ls", f"{images}/objects")

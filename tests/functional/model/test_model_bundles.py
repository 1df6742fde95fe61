"""Bundles and packed charms: what is read from them, and what is refused."""

import pathlib
import zipfile
from typing import Any

import pytest
import yaml

from support import small_charms
from support.model import charms, machines

PROVIDES = {"racks": {"interface": "images"}}
REQUIRES = {"regions": {"interface": "images"}}
STORAGE = {"store": {"type": "filesystem"}}


@pytest.fixture
def bundle(cloud: small_charms.Cloud) -> dict[str, Any]:
    """Return a bundle of a region and a rack, whose charms lie beside it."""
    option = {"cache-size": {"type": "string"}}
    region = cloud.pack("region", "", provides=PROVIDES, storage=STORAGE)
    rack = cloud.pack("rack", "", requires=REQUIRES, config=option)
    return {
        "default-base": "ubuntu@24.04",
        "applications": {
            "region": {"charm": f"./{region.name}", "num_units": 1, "storage": {"store": "1G"}},
            "rack": {
                "charm": f"./{rack.name}",
                "num_units": 1,
                "options": {"cache-size": "1G"},
            },
        },
        "relations": [["region:racks", "rack:regions"]],
    }


def deploy(cloud: small_charms.Cloud, bundle: dict[str, Any]) -> None:
    """Write the bundle and deploy it."""
    path = cloud.directory / "bundle.yaml"
    path.write_text(yaml.safe_dump(bundle, sort_keys=False))
    cloud.deploy_bundle(path)


def test_a_bundle_deploys_on_machines_of_its_own(
    cloud: small_charms.Cloud, bundle: dict[str, Any]
) -> None:
    second = machines.LocalMachine(cloud.directory / "second", "127.0.0.2")
    cloud.add_machine(second)
    deploy(cloud, bundle)
    cloud.settle()
    assert cloud.unit("region/0").machine is cloud.machine
    assert cloud.unit("rack/0").machine is second
    assert cloud.world.applications["rack"].config == {"cache-size": "1G"}
    assert cloud.bag(1, "rack/0")["ingress-address"] == "127.0.0.2"
    assert cloud.hooks_of("rack/0")[-1] == "regions-relation-changed"


def test_a_bundle_says_on_which_machine(cloud: small_charms.Cloud, bundle: dict[str, Any]) -> None:
    bundle["machines"] = {"0": {}}
    for application in bundle["applications"].values():
        application["to"] = ["0"]
    deploy(cloud, bundle)
    assert {unit.machine for unit in cloud.world.units.values()} == {cloud.machine}


def test_a_bundle_needs_its_machines(cloud: small_charms.Cloud, bundle: dict[str, Any]) -> None:
    with pytest.raises(charms.ModelError, match=r"1 free machine\(s\) needed, there are 0"):
        deploy(cloud, bundle)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ({"services": {}}, '"services" is not known'),
        ({"applications": {"region": {"units": 1}}}, '"units" is not known'),
        ({"applications": {"region": {"to": ["3"]}}}, 'machine "3" of region is not declared'),
        ({"applications": {"region": {"storage": {"disk": "1G"}}}}, 'has no storage "disk"'),
        ({"applications": {"region": {"options": {"a": 1}}}}, 'unknown option "a"'),
        ({"applications": {"region": {"charm": "./none.charm"}}}, "is no packed charm"),
        ({"relations": [["region:racks", "rack:nothing"]]}, 'no "nothing" relation'),
    ],
)
def test_a_bundle_that_is_not_right_is_refused(
    cloud: small_charms.Cloud, bundle: dict[str, Any], spoil: dict[str, Any], why: str
) -> None:
    cloud.add_machine(machines.LocalMachine(cloud.directory / "second", "127.0.0.2"))
    for name, entry in spoil.pop("applications", {}).items():
        bundle["applications"][name] |= entry
    with pytest.raises(charms.ModelError, match=why):
        deploy(cloud, bundle | spoil)


@pytest.mark.parametrize("lacks", ["metadata.yaml", "manifest.yaml", "dispatch"])
def test_a_file_that_is_no_charm_is_refused(
    cloud: small_charms.Cloud, directory: pathlib.Path, lacks: str
) -> None:
    whole = cloud.pack("region", "")
    path = directory / "half.zip"
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(path, "w") as half:
        for name in archive.namelist():
            if name != lacks:
                half.writestr(name, archive.read(name))
    with pytest.raises(charms.ModelError, match=f"has no {lacks}"):
        cloud.deploy(path)


def test_a_charm_for_containers_is_refused(cloud: small_charms.Cloud) -> None:
    with pytest.raises(charms.ModelError, match="no principal machine charm"):
        cloud.start("region", "", containers={"workload": {}})


def test_an_application_is_deployed_once(cloud: small_charms.Cloud) -> None:
    cloud.start("region", "")
    with pytest.raises(charms.ModelError, match="already exists"):
        cloud.start("region", "")


def test_storage_lies_where_the_charm_wants_it(
    cloud: small_charms.Cloud, directory: pathlib.Path
) -> None:
    where = str(directory / "srv")
    cloud.start("region", "", storage={"store": {"type": "filesystem", "location": where}})
    assert cloud.unit("region/0").storage["store/0"].location == where
    with pytest.raises(charms.ModelError, match="file systems only"):
        cloud.start("other", "", storage={"disk": {"type": "block"}})

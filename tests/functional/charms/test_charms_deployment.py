"""The bundle on two hosts: images come from a signed source, and machines get them.

The charms are the files that ``make charms`` writes. Each test finds the deployment serving and
leaves it so.
"""

import pathlib
from collections.abc import Iterator

import pytest

from boot_resources import units
from boot_resources.demo import signed_source
from support import deployments, maas, packing, postgres, relays
from support.deployments import Deployment

REGION, RACK = "region/0", "rack/0"
FORGE = "custom/amd64/generic/forge/uploaded/20240501"
FORGED = b"forged" * 99_999
BROKEN = """
raise SystemExit("boot-resources: this version is broken on purpose")
"""


@pytest.fixture(scope="module")
def deployed(
    charms: packing.Packed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Give the bundle, deployed, with all of a source brought."""
    assert charms.region.parent == packing.ROOT / "dist"
    with deployments.begun(tmp_path_factory.mktemp("deployed"), "3.6.14") as deployment:
        for _ in range(2):
            deployment.add_host()
        deployment.cloud.deploy_bundle(packing.ROOT / "bundle.yaml")
        deployment.use_source()
        deployment.settle()
        assert not deployment.cloud.run(REGION, "sync-images").failed
        deployment.wait_until_active()
        deployment.wait_until_served(RACK)
        yield deployment


@pytest.fixture
def maas_url(deployed: Deployment) -> Iterator[str]:
    """Give where the region reaches a MAAS's database, with an image that was uploaded to it."""
    with postgres.running_server(loopback=True) as server:
        with relays.Relay(server.port, deployed.network.address) as relay:
            for found in maas.made(server, maas.V3_5):
                forge = found.resource("forge", rtype=maas.UPLOADED)
                of_set = found.version(forge, "20240501", "uploaded")
                found.file(of_set, "root-tgz", found.store(FORGED))
                found.seal()
                place = f"{deployed.network.address}:{relay.port}"
                yield f"postgresql://{maas.MAAS}@{place}/{found.name}"
                deployed.cloud.config("region", migration_database=None)
                deployed.wait_until_active()


def test_each_byte_of_the_source_came_once_and_reaches_machines_right(
    deployed: Deployment,
) -> None:
    assert all(deployed.gets(RACK, each) for each in deployed.source.truth)
    sizes = {each.sha256: each.size for each in deployed.source.truth}
    assert deployed.served.payload_bytes == sum(sizes.values())


def test_the_units_say_what_they_are_and_what_they_open(deployed: Deployment) -> None:
    cloud = deployed.cloud
    assert " images available" in cloud.status(REGION).message
    assert "cache" in cloud.status(RACK).message
    units_ = cloud.world.units
    assert {str(port) for port in units_[REGION].ports} == {"5290/tcp"}
    assert {str(port) for port in units_[RACK].ports} == {"5248/tcp"}
    running = deployed.status(REGION)["version"]
    assert units_[REGION].version.startswith(running)


@pytest.mark.parametrize("unit", [REGION, RACK])
def test_the_service_is_confined_and_runs_as_its_own_user(deployed: Deployment, unit: str) -> None:
    host, service = deployed.host_of(unit), deployments.service_of(unit)
    said = host.says("systemd-analyze", "security", "--no-pager", service)
    (exposure,) = [
        line.split(":")[1].split()[0] for line in said.splitlines() if "Overall" in line
    ]
    assert float(exposure) <= 2.0
    user = host.says("ps", "-o", "user:40=", "-p", deployed.process_of(unit))
    assert user == service.removesuffix(".service")


def test_the_size_of_the_cache_changes_while_the_rack_serves(deployed: Deployment) -> None:
    def limit() -> int:
        return int(deployed.ask(RACK, "cache", "status")["limit"])

    before = deployed.process_of(RACK)
    assert limit() == 4 * units.GIB
    deployed.cloud.config("region", cache_size="2G")
    deployed.settle()
    assert limit() == 2 * units.GIB
    deployed.cloud.config("rack", cache_size="1G", log_level="debug")
    deployed.settle()
    assert limit() == units.GIB
    shown = deployed.cloud.run(RACK, "show-cache")
    assert (shown.failed, shown.results["size"]) == (False, "1.0 GiB")
    deployed.cloud.config("rack", cache_size=None, log_level=None)
    deployed.settle()
    assert limit() == 2 * units.GIB
    assert deployed.process_of(RACK) == before


def test_a_bad_option_blocks_and_the_service_goes_on(deployed: Deployment) -> None:
    before = deployed.process_of(REGION)
    deployed.cloud.config("region", selections="noble, please")
    deployed.settle()
    status = deployed.cloud.status(REGION)
    assert status.name == "blocked"
    assert "selections" in status.message
    assert deployed.process_of(REGION) == before
    deployed.use_source()
    deployed.wait_until_active()
    assert deployed.process_of(REGION) == before


def test_an_operator_syncs_lists_and_verifies(deployed: Deployment) -> None:
    signed_source.add_version(deployed.source, "20250801", deployments.SIZE, seed=9)
    deployed.publish()
    synced = deployed.cloud.run(REGION, "sync-images")
    assert not synced.failed, synced.message
    assert synced.log
    newer = [each for each in deployed.source.truth if each.version == "20250801"]
    deployed.wait_until_served(RACK, newer)
    listed = deployed.cloud.run(REGION, "list-images")
    assert f"{deployments.name_of(newer[0])}  available" in listed.results["images"]
    verified = deployed.cloud.run(REGION, "verify-storage")
    assert not verified.failed, verified.message


def test_without_a_maas_database_the_migration_says_what_to_set(deployed: Deployment) -> None:
    refused = deployed.cloud.run(REGION, "migrate-images")
    assert refused.failed
    assert "migration-database" in refused.message


def test_the_images_of_a_maas_database_move_in(deployed: Deployment, maas_url: str) -> None:
    cloud = deployed.cloud
    secret = cloud.add_secret("maas-database", {"url": maas_url})
    cloud.config("region", migration_database=secret)
    deployed.settle()
    blocked = cloud.status(REGION)
    assert (blocked.name, "juju grant-secret" in blocked.message) == ("blocked", True)
    cloud.grant_secret("maas-database", "region")
    # A grant runs no hook; the next one sees it.
    cloud.update_status()
    deployed.settle()
    checked = cloud.run(REGION, "migrate-images", check=True)
    assert not checked.failed, checked.message
    migrated = cloud.run(REGION, "migrate-images")
    assert not migrated.failed, migrated.message
    assert migrated.log
    assert FORGE in cloud.run(REGION, "list-images").results["images"]
    deployed.wait_until(
        lambda: deployed.fetched(RACK, f"{FORGE}/root.tgz") == FORGED,
        lambda: deployed.status(RACK),
    )
    told = [*checked.log, *migrated.log, cloud.status(REGION).message]
    told.append(deployed.host_of(REGION).journal(deployments.service_of(REGION)))
    assert not any(maas_url in each for each in told)


@pytest.mark.parametrize("unit", [REGION, RACK])
def test_a_host_that_reboots_serves_again_before_any_hook_runs(
    deployed: Deployment, unit: str
) -> None:
    hooks = len(deployed.cloud.ran)
    deployed.host_of(unit).reboot()
    deployed.ask(RACK, "cache", "drop", "--all")
    deployed.wait_until_served(RACK)
    assert len(deployed.cloud.ran) == hooks
    (machine,) = [id_ for id_, host in deployed.booted.items() if host is deployed.host_of(unit)]
    deployed.cloud.rebooted(machine)
    deployed.wait_until_active()


def test_a_charm_is_upgraded_and_a_broken_one_goes_back_by_itself(
    deployed: Deployment, charms: packing.Packed, tmp_path: pathlib.Path
) -> None:
    cloud, host = deployed.cloud, deployed.host_of(REGION)
    first = deployed.status(REGION)["version"]
    cloud.refresh("region", packing.remade(charms.region, tmp_path, "9.0.0"))
    deployed.wait_until_active()
    assert deployed.status(REGION)["version"] == "9.0.0"
    assert cloud.world.units[REGION].version.startswith("9.0.0")

    breaking = {"boot_resources/region/controller.py": BROKEN}
    cloud.refresh("region", packing.remade(charms.region, tmp_path, "9.1.0", breaking))
    deployed.settle()
    status = cloud.status(REGION)
    assert status.name == "blocked"
    for part in ("the upgrade to 9.1.0", "broken on purpose", "9.0.0", "juju refresh"):
        assert part in status.message
    assert deployed.status(REGION)["version"] == "9.0.0"
    deployed.ask(RACK, "cache", "drop", "--all")
    deployed.wait_until_served(RACK)

    cloud.refresh("region", charms.region)
    deployed.wait_until_active()
    assert deployed.status(REGION)["version"] == first
    engines = host.says("ls", "/opt/boot-resources/region-0").split()
    kept = [name for name in engines if name[0].isdigit()]
    assert sorted(name.rpartition("-")[0] for name in kept) == sorted([first, "9.0.0"])


def test_where_maas_itself_is_installed_a_unit_blocks_and_touches_nothing(
    deployed: Deployment, charms: packing.Packed
) -> None:
    host = deployed.add_host()
    host.run(["mkdir", "--parents", "/var/snap/maas/common"])
    deployed.cloud.deploy(charms.rack, "beside", to=["2"])
    deployed.settle()
    status = deployed.cloud.status("beside/0")
    assert status.name == "blocked"
    assert "MAAS" in status.message
    assert "juju remove-unit beside/0" in status.message
    assert not host.exists("/opt/boot-resources")
    deployed.cloud.remove_application("beside")
    deployed.settle()

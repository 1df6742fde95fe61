"""The test hosts themselves: they boot, they are apart, and nothing of them outlives a test."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from support import bridges, hosts

SERVICE = """\
[Service]
ExecStart=/usr/bin/python3 -I -m http.server 8000 --directory /srv
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
MemoryDenyWriteExecute=yes
[Install]
WantedBy=multi-user.target
"""
BOOT_ID = "/proc/sys/kernel/random/boot_id"
KILLED = """\
import os, signal
from support import hosts
with hosts.network() as network:
    network.host("left")
    print(network.bridge.number, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def host(network: hosts.Network) -> hosts.Host:
    """Give a host with a service that sends ``/srv``, and starts when the host does."""
    host = network.host("serving")
    (host.shared / "web.service").write_text(SERVICE)
    host.copy_in(host.shared / "web.service", "/etc/systemd/system/web.service")
    host.run(["sh", "-c", "echo good >/srv/news"])
    host.run(["systemctl", "enable", "--now", "web.service"])
    return host


def fetched(address: str) -> str:
    """Return what this machine gets from the service on a host, which may be starting."""
    command = ["curl", "--silent", "--show-error", "--fail", "--retry", "20"]
    command += ["--retry-connrefused", "--retry-delay", "1", f"http://{address}:8000/news"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_host_looks_as_a_charm_wants_it(host: hosts.Host) -> None:
    assert "ID=ubuntu\n" in host.read("/etc/os-release")
    assert "test host" in host.read("/etc/os-release")
    assert host.says("python3", "-c", "import sys; print(sys.version_info[:2])") == "(3, 12)"
    assert host.says("hostname") == "serving"
    assert host.says("systemctl", "is-system-running") == "running"


def test_no_package_of_this_machine_helps_on_a_host(host: hosts.Host) -> None:
    list_packages = "import importlib.metadata; print(list(importlib.metadata.distributions()))"
    assert host.says("python3", "-c", list_packages) == "[]"


def test_all_that_a_charm_takes_from_the_distribution_is_there_without_a_network(
    host: hosts.Host,
) -> None:
    host.run(["apt-get", "install", "--yes", "gpg", "adduser"])
    assert host.run(["ip", "route", "get", "192.0.2.1"], check=False).returncode != 0


def test_a_host_reaches_another_and_the_tests_reach_it(
    network: hosts.Network, host: hosts.Host
) -> None:
    other = network.host("asking")
    assert fetched(host.address) == "good\n"
    assert other.says("curl", "-sS", f"http://{host.address}:8000/news") == "good"
    assert other.read("/etc/machine-id") != host.read("/etc/machine-id")
    # Neither takes the other's services for its own.
    assert other.run(["systemctl", "is-active", "web"], check=False).stdout == "inactive\n"
    other.cut_power()
    assert fetched(host.address) == "good\n"


def test_a_command_that_fails_says_where_and_why(host: hosts.Host) -> None:
    with pytest.raises(hosts.HostError, match=r"serving: cat /nowhere: 1: .*No such file"):
        host.read("/nowhere")


def test_a_command_gets_its_own_environment_only(
    host: hosts.Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_TESTS", "1")
    env = host.run(["env"], env={"JUJU_UNIT_NAME": "region/0"}).stdout
    assert "JUJU_UNIT_NAME=region/0" in env
    assert "OF_THE_TESTS" not in env


def test_a_directory_is_copied_as_it_is(host: hosts.Host, tmp_path: pathlib.Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "run").write_text("#!/bin/sh\necho it runs\n")
    (tmp_path / "whole" / "run").chmod(0o755)
    (tmp_path / "whole" / "link").symlink_to("run")
    host.copy_in(tmp_path / "whole", "/opt/copied/whole")
    assert host.says("/opt/copied/whole/link") == "it runs"


@pytest.mark.parametrize("how", ["reboot", "power cut"])
def test_a_host_comes_back_with_its_disk_and_its_services(host: hosts.Host, how: str) -> None:
    before = host.read(BOOT_ID)
    if how == "reboot":
        host.reboot()
    else:
        host.cut_power()
        host.start()
    assert host.read(BOOT_ID) != before
    assert fetched(host.address) == "good\n"


def test_tests_that_are_killed_leave_no_process_and_soon_nothing_at_all() -> None:
    path = {"PYTHONPATH": str(pathlib.Path(hosts.__file__).parents[1])}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **path},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = bridges.Bridge(int(killed.stdout))
    disk, cgroups = left.directory / "left", left.cgroups(left.machine(10))
    assert disk.exists()
    bridges.wait_until(lambda: not any(processes_in(each) for each in cgroups))
    with hosts.network():
        assert not disk.exists()
        assert not any(each.exists() for each in cgroups)
        links = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
        assert left.machine(10) not in links


def processes_in(cgroup: pathlib.Path) -> list[str]:
    """Return the processes in a cgroup and below it."""
    found = []
    for file in cgroup.rglob("cgroup.procs"):
        found += file.read_text().split()
    return found

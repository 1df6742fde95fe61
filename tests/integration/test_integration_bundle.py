"""A Juju controller deploys ``bundle.yaml``, and a machine fetches a kernel from the rack.

Run it with ``make charms && tox run -e integration``, logged in to a controller whose cloud gives
machines that reach the source. pytest-operator brings a model of its own; it works with no pytest
from 9 on, so that it has an environment of its own, and elsewhere this skips.
"""

import asyncio
import pathlib
import shutil
import subprocess
import urllib.request
from typing import Any

import pytest

pytest.importorskip("pytest_operator", reason="pytest-operator is only in: tox run -e integration")

ROOT = pathlib.Path(__file__).parents[2]
KERNEL = "images/ubuntu/amd64/ga-24.04/noble/stable/boot-kernel"


def _missing() -> str:
    """Return what there must be and is not; empty if all of it is here."""
    if shutil.which("juju") is None:
        return "the command juju is not on the path"
    if subprocess.run(["juju", "whoami"], capture_output=True, check=False).returncode != 0:
        return "nobody is logged in to a Juju controller: juju bootstrap, or juju login"
    if len(list((ROOT / "dist").glob("*.charm"))) < 2:
        return "the charms are not packed: make charms"
    return ""


pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(bool(_missing()), reason=_missing() or "all is here"),
]


async def test_a_machine_fetches_a_kernel_from_the_deployed_bundle(ops_test: Any) -> None:
    await ops_test.juju("deploy", str(ROOT / "bundle.yaml"), check=True)
    await ops_test.model.wait_for_idle(status="active", timeout=3600)

    region = ops_test.model.applications["region"].units[0]
    sync = await (await region.run_action("sync-images")).wait()
    assert sync.status == "completed", sync.results

    rack = ops_test.model.applications["rack"].units[0]
    url = f"http://{await rack.get_public_address()}:5248/{KERNEL}"
    assert await asyncio.to_thread(_is_whole, url)


def _is_whole(url: str) -> bool:
    """Return whether a machine that fetches this gets all of it."""
    with urllib.request.urlopen(url) as answer:
        return len(answer.read()) == int(answer.headers["Content-Length"]) > 0

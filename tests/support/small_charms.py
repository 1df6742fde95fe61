"""Charms of a few lines, packed as ``charmcraft`` packs, and a model to try them in.

The body is Python, run by ``dispatch`` itself on every hook. It finds these names:

- ``hook``: the name of the hook or action.
- ``env``: the environment.
- ``tool(*command, stdin="")``: runs a hook tool; returns its status, stdout and stderr.
- ``ask(*command)``: runs a query with ``--format=json`` that has to work; returns its answer.
- ``do(*command, stdin="")``: runs a hook tool that has to work; returns what it prints.
- ``publish(relation, *options, **content)``: runs ``relation-set`` as ops does.
"""

import pathlib
import sys
import textwrap
import zipfile
from collections.abc import Mapping
from typing import Any

import yaml

from support.model import machines, model, state

_PREAMBLE = """\
#!{python} -I
import json, os, pathlib, subprocess, sys

env = os.environ
hook = env["JUJU_DISPATCH_PATH"].partition("/")[2]

def tool(*command, stdin=""):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr

def do(*command, stdin=""):
    status, output, error = tool(*command, stdin=stdin)
    assert status == 0, error
    return output

def ask(*command):
    return json.loads(do(*command, "--format=json"))

def publish(relation, *options, **content):
    do("relation-set", "-r", relation, *options, "--file", "-", stdin=json.dumps(content))

"""


def pack(
    directory: pathlib.Path,
    name: str,
    body: str,
    *,
    config: Mapping[str, Any] | None = None,
    actions: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    **metadata: Any,
) -> pathlib.Path:
    """Pack a charm; return its file.

    Args:
        directory: for the file.
        name: of the charm.
        body: what it does on every hook.
        config: its options, by name.
        actions: its actions, by name.
        files: further files of it, with their content.
        metadata: its endpoints, storage and so on, as ``metadata.yaml`` has them.
    """
    packed = {
        "metadata.yaml": yaml.safe_dump({"name": name, **metadata}),
        "manifest.yaml": yaml.safe_dump({"bases": []}),
        "config.yaml": yaml.safe_dump({"options": dict(config or {})}),
        "actions.yaml": yaml.safe_dump(dict(actions or {})),
        "dispatch": _PREAMBLE.format(python=sys.executable) + textwrap.dedent(body),
        **(files or {}),
    }
    number = len(list(directory.glob("*.charm")))
    path = directory / f"{name}-{number}.charm"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in packed.items():
            entry = zipfile.ZipInfo(file)
            mode = 0o755 if file == "dispatch" else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, content)
    return path


class Cloud(model.Model):
    """A model with one machine, which takes charms by what they do."""

    def __init__(self, directory: pathlib.Path, version: str = "3.6.14") -> None:
        super().__init__(version)
        self.directory = directory
        self.machine = machines.LocalMachine(directory / version)
        self.add_machine(self.machine)

    def pack(self, name: str, body: str, **declared: Any) -> pathlib.Path:
        """Pack a charm of this body."""
        return pack(self.directory, name, body, **declared)

    def start(self, name: str, body: str, units: int = 1, **declared: Any) -> None:
        """Deploy a charm of this body, all its units on the one machine; run nothing yet."""
        self.deploy(self.pack(name, body, **declared), to=["0"] * units)

    def message(self, unit: str) -> str:
        """Return the message of a unit's status."""
        return self.status(unit).message

    def unit(self, name: str) -> state.Unit:
        """Return a unit."""
        return self.world.units[name]

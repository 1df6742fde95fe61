#!/usr/bin/env -S python3 -I -S
"""Every hook tool of the model simulator, on the side of the charm: its name says which.

It hands its arguments to the simulator and ends as the simulator says. Files that an argument
names are read here, because only this side can see them. Python 3.11, standard library only.

A hook calls twenty of these, and most of their time is Python's start: so the fields of a request
and of an answer are parted by NUL, and no module is imported that takes longer than the work.
"""

import os
import sys
from _socket import AF_UNIX, SHUT_WR, socket


def main() -> int:
    """Ask; print the answer; return the exit status."""
    tool, arguments = sys.argv[0].rpartition("/")[2], sys.argv[1:]
    fields = [os.environ.get("JUJU_CONTEXT_ID", ""), str(len(arguments)), tool, *arguments]
    for name in _files(arguments):
        fields += [name, _read(name)]
    connection = socket(AF_UNIX)
    connection.connect(os.environ["JUJU_AGENT_SOCKET_ADDRESS"])
    left = "\0".join(fields).encode()
    while left:
        left = left[connection.send(left) :]
    connection.shutdown(SHUT_WR)
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    status, output, error = answer.decode().split("\0")
    sys.stdout.write(output)
    sys.stderr.write(error)
    return int(status)


def _files(arguments: list[str]) -> list[str]:
    named, before = [], ""
    for argument in arguments:
        option, _, path = argument.partition("=")
        if before == "--file":
            named.append(argument)
        elif path and (option == "--file" or option.endswith("#file")):
            named.append(path)
        before = argument
    return named


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    with open(name) as file:  # noqa: PTH123 - pathlib takes longer to import than all of this.
        return file.read()


if __name__ == "__main__":
    sys.exit(main())

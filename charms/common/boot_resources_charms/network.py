"""What Juju gives a unit: its address, and its storage."""

import pathlib

import ops

from . import problems


def address(model: ops.Model, endpoint: str) -> str:
    """Return where others reach this unit over an endpoint: an IP address or a host name.

    Raises:
        problems.Waiting: Juju has given it none yet.
    """
    try:
        found = model.get_binding(endpoint).network.ingress_address
    except ops.ModelError:
        found = None
    if not found:
        raise problems.Waiting("waiting for Juju to give this unit an address")
    return str(found)


def with_port(host: str, port: int) -> str:
    """Return ``HOST:PORT``, with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def storage(model: ops.Model, name: str) -> pathlib.Path:
    """Return where Juju has put a storage.

    Raises:
        problems.Problem: it is not attached.
        ops.ModelError: Juju does not say where it is.
    """
    attached = model.storages[name]
    if not attached:
        raise problems.Problem(
            f"the storage {name} is not attached",
            f"juju add-storage {model.unit.name} {name}, or juju attach-storage",
        )
    return attached[0].location

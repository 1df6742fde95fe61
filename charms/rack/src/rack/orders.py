"""The action of a rack: what is in its cache, and what the cache did."""

import ops

from boot_resources import units
from boot_resources_charms import workload

_SHOWN = 100
"""How many objects are listed, the most recently used first."""


def show_cache(event: ops.ActionEvent, machine: workload.Workload) -> None:
    """Tell how the cache is."""
    found = machine.ask("cache", "status")
    ratio = found["hit_ratio"]
    lines = [
        f"{each['sha256'][:12]}  {units.format_size(each['space'])}  "
        f"{'whole' if each['whole'] else 'partial'}  {each['name']}".rstrip()
        for each in found["contents"][:_SHOWN]
    ]
    event.set_results(
        {
            "used": units.format_size(found["used"]),
            "size": units.format_size(found["limit"]),
            "objects": found["objects"],
            "evictions": found["evictions"],
            "served": units.format_size(found["served_bytes"]),
            "fetched": units.format_size(found["fill_bytes"]),
            "hit-ratio": "nothing served yet" if ratio is None else f"{100 * ratio:.1f} %",
            "contents": "\n".join(lines) or "none",
        }
    )

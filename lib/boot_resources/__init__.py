"""The boot-resource plane of a bare-metal cloud: images from a signed source to machines.

The rooms, from the ground up; imports run downwards only:

``errors`` ``units`` ``digests`` ``addresses`` ``notices``
    the words everyone uses
``source``  ``store``  ``catalog``  ``plane``  ``service``
    a signed stream; objects on a disk; what exists and who holds it; what controllers say to
    each other; what every long-running process needs
``sync``
    bring a region's store to what the catalog wants
``region``  ``rack``
    the two controllers
``demo``  ``cli``
    everything on one machine; the ``boot-resources`` command
"""

from importlib import metadata

__version__ = metadata.version("boot-resources")

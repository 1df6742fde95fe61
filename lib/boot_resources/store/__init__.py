"""Objects on a disk: blocks, durable writes, space, audit. No network, no database.

``disk``      the one layer through which every write passes
``blocks``    1 MiB blocks and the map of their hashes
``partial``   an object that is not whole yet
``journal``   which of its blocks count
``facts``     what the proof of an object left behind
``objects``   the tree of whole objects and the facts beside them
``space``     is there room, before the first byte
``identity``  whose store this is
``audit``     is what lies here still what was proved
``scrub``     the same, block by block, slowly and for ever
``takeover``  a store that another cluster, or nobody, owned becomes this cluster's
``intake``    objects out of a directory of somebody else
``maas``      what an image-storage of MAAS looks like
``regular``   no link is followed, nothing but a file is opened
``kept``      what nobody needs now, for a while
``storage``   a region's image-storage, made of the above

The region's storage and the rack's cache both stand on ``objects`` and ``partial``; they differ in
who decides what to keep.
"""

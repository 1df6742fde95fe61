"""The plane: what controllers say to one another, and how they know each other.

``authority`` makes certificates (``keys`` and ``certificates`` are what it does it with),
``members`` says whose key counts and in which role, ``tls`` turns both into contexts,
``messages`` are the documents that cross the wire, ``client`` asks a region for them over a
``connection`` that has recognised it, and ``watch`` hangs up on one that is too slow. ``durable``
writes the small files of them all.
"""

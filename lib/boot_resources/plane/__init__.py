"""The plane: what controllers say to one another, and how they know each other.

``authority`` makes certificates, ``members`` says whose key counts and in which role, ``tls``
turns both into contexts, ``messages`` are the documents that cross the wire, ``client`` asks a
region for them.
"""

"""What the region's charm knows; ``charm.py`` beside it listens to Juju and asks it.

``state``        what Juju says: options, secrets, storage, certificate, address
``settings``     the files that follow from it, as a pure function
``membership``   the leader's desk: who belongs, with which certificate, told to all
``orders``       the actions
"""

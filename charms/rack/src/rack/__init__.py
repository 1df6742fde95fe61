"""What the rack's charm knows; ``charm.py`` beside it listens to Juju and asks it.

``state``      what Juju says: options, storage, what the regions' leader gave
``settings``   the files that follow from it, as a pure function
``orders``     the actions
"""

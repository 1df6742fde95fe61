"""The region controller: its services over the catalog, the store and the sync.

``offer``       what is available, kept in memory and beside the store
``serving``     the plane port: racks and other regions, TLS, members only
``complaints``  what members got wrong bytes of is looked at
``syncing``     the thread that runs the sync
``condition``   what an operator should know of the disk
``membership``  joining the cluster: catalog, store and declaration brought together
``ownership``   whose a storage is, asked while no region runs
``aside``       threads for what may wait for the catalog
``curation``    orders about images, sources and selections
``migrating``   the thread that takes over MAAS's images
``migration_notices``  what is said of that, for as long as it is so
``migration_orders``  orders about that
``jobs``        orders that take long: a sync, a check
``adoption``    wanted objects out of somebody else's files
``commands``    all that the local socket answers
``figures``     what Prometheus is told
``controller``  all of it as one process
"""

"""The rack controller: fetches from regions on demand, keeps what machines asked for, serves them.

``names``        what can be asked for, as the regions list it
``regions``      the regions, and whom to ask next
``recency``      in which order the cached objects were used
``inventory``    what is in the cache and what it takes
``eviction``     what goes when room is needed
``departures``   what left the cache and still takes space
``cache``        the objects on the disk, never more than the bound
``fill``         one object on its way in, for everyone who waits for it
``passthrough``  an object that cannot fit
``supply``       from a name to a body: cache, fill or pass-through
``serving``      the port for machines
``scrub``        what the disk spoilt is dropped, and brought again
``condition``    what an operator should know of the cache
``upkeep``       what is done every few seconds
``reloading``    the settings, read again while it runs
``commands``     what the command is told
``figures``      what Prometheus is told
``controller``   all of it as one process

No database: a contract keeps it so. The event loop owns all bookkeeping; worker threads fetch,
hash and write blocks.
"""

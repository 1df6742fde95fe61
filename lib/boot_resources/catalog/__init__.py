"""What exists and who holds it: schema, migrations and queries, on SQLite or PostgreSQL.

``database`` ``answering`` ``failures``
    opens a catalog: read and write transactions; how long an answer may take; what can go wrong
``migrations``
    brings the schema to what this code knows
``schema`` ``clock`` ``upserts``
    the tables; the database's clock; insert-or-update on both databases
``cluster`` ``leases``
    who belongs to the cluster, and its epoch; who may do what only one region may do
``sources`` ``documents``
    where images come from and which are selected; what the source's documents last said
``names`` ``planning`` ``wanting``
    how an image is called; what should become of every image, decided and carried out
``availability`` ``images``
    what is offered to machines; what an operator sees
``holdings`` ``ledger`` ``noticeboard``
    who holds which object; bytes counted; every unit's notices
``handovers``
    what a migration from MAAS took over, set aside and still owes

Every query takes the connection of a transaction first, and neither begins nor ends one.
"""

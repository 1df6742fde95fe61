"""A simulator of a model: enough of a controller and its agents to drive machine charms.

It deploys packed charms on machines, runs their own ``dispatch`` as processes there, and answers
the hook tools that these call. It is not Juju, and a test that passes on it says nothing about
Juju's own code: it is our strict reading of how Juju 3.6 and 4.0 behave towards a machine charm.

It holds to these:

- **Strict.** A tool, option, endpoint, option of config, storage or action that is not declared, a
  value of the wrong type, a bag or secret that this unit may not read or write: the tool fails, as
  Juju's does, and ``Model.refusals`` keeps it, so that a test can assert that there were none.
- **Transactional.** Databags, ports, secrets and stored state change only when the hook ends with
  0. Status, log, workload version and the log of an action are seen at once, as in Juju.
- **In Juju's order.** Which hook is due next follows from what the model holds and what the unit
  has seen of it (``hooks``), as Juju's own resolver decides it; no list of events is kept.

What it leaves out: one hook runs at a time in the whole model, so no two agents race; there are
no subordinates, offers, spaces, resources, constraints, containers or charm revisions from a
store; secrets do not rotate or expire; an agent never restarts in the middle of a hook.

Read ``model`` first: it has the operator's verbs.
"""

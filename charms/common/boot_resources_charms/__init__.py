"""What the region's charm and the rack's charm share.

``status`` ``acting``
    how a unit is, in Juju's words; carrying out an action
``relations`` ``authority`` ``enrolment``
    what the charms tell one another; who may join; what a unit was given
``configuration`` ``network`` ``placement`` ``toml_text`` ``problems``
    an operator's options; address and storage; on which machine; settings as a text; what stands
    in the way
``workload``
    the one face that a charm sees of its machine; it stands on the rooms below
``running``
    an engine is tried, and the one before it runs again where it fails
``engine`` ``service`` ``command`` ``onpath``
    the engine's versions on the disk; the systemd unit that runs one; what it answers; the
    commands that an operator types
``host`` ``debian`` ``identity`` ``maas``
    users; packages; the unit's key; what else is on the machine
``files`` ``templates`` ``places`` ``failures``
    files that are whole; texts; where everything of a unit lies; what went wrong
"""

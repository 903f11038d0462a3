"""What an environment needs, before it exists: replicas, nodes, addresses, ports. Pure arithmetic.

`replicas` has v1's formula, `vms` and `nodes` say what a node offers, `addresses` what a network has room
for, `router` what the router asks for, `capacity` what stands where and what runs out first, and `report`
shows all of it as a table. Every number that is not ours names its document and date.
"""

"""Expressions over a pool, the node around it, the request and its class: a subset of CEL, see docs/scheduler.md.

Types are known before anything is evaluated; there are no loops, no calls but those of a table, and no way from a value
to an attribute that is not in a table. Why no library does it: docs/decisions/0010-expressions.md.
"""

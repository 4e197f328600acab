"""How a certificate says who its holder is.

A role stands in a URI of the certificate's subject alternative names; an agent's node also in a DNS name that
nobody else may hold. Agents obey the role ``controller`` only: no key that lies on a node opens another node
(DESIGN 2).
"""

from __future__ import annotations

CONTROLLER_URI = "urn:clinker:role:controller"
_NODE_URI = "urn:clinker:node:"


def node_uri(node: str) -> str:
    """The URI of the agent on ``node``."""
    return _NODE_URI + node


def agent_dns(node: str) -> str:
    """The DNS name that a controller insists on when it speaks to the agent on ``node``. It is never resolved."""
    return f"{node}.agent.clinker"

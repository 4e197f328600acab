"""A program for the guest: one call to an agent, shown the certificate that the caller names.

    agent_call.py NODE ADDRESS CA CERTIFICATE KEY VERB[,VERB...] [WORD...]

``describe``; ``get ID``; ``delete ID``; ``claim NAME COPY SIZE``, as a controller that is asked for an ext4 volume.
CERTIFICATE ``-`` shows none, and ``plain`` speaks without TLS. Prints for each verb, which has a connection of its own,
``answer ...`` or ``refused KIND ...``, where KIND is of ``errors.Kind``, or a gRPC status when no client of ours can
show such a thing.
"""

import asyncio
import sys
from pathlib import Path

import grpc
from grpc import aio

from csi_driver.control.order import Order
from csi_driver.control.requests import CreateVolume
from csi_driver.errors import DriverError
from csi_driver.model.access import AccessMode, AccessType, Capability
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Limits
from csi_driver.rpc.agent_client import AgentClient
from csi_driver.rpc.gen import agent_pb2 as pb
from csi_driver.rpc.gen.agent_pb2_grpc import AgentStub
from csi_driver.rpc.peers import agent_dns
from csi_driver.settings import TlsSettings

POOL = "fast"


async def with_certificate(client: AgentClient, verb: str, words: list[str]) -> str:
    if verb == "describe":
        return (await client.describe()).node
    if verb == "claim":
        name, copy, size = words
        capability = Capability(access=AccessType.MOUNT, mode=AccessMode.SINGLE_NODE_WRITER)
        order = Order.of(CreateVolume(name=name, capabilities=(capability,), limits=Limits(required=int(size))))
        return str((await client.claim(order.spec(copy, size=int(size), pool=POOL))).id)
    volume = VolumeId.parse(words[0])
    if volume is None:
        raise SystemExit(f"{words[0]} is no id")
    if verb == "delete":
        await client.delete(volume)
        return "deleted"
    return str((await client.get(volume)).size)


async def without(node: str, address: str, ca: str, *, plain: bool) -> str:
    options = (("grpc.ssl_target_name_override", agent_dns(node)), ("grpc.enable_http_proxy", 0))
    if plain:
        channel = aio.insecure_channel(address, options=options[1:])
    else:
        channel = aio.secure_channel(address, grpc.ssl_channel_credentials(Path(ca).read_bytes()), options=options)
    async with channel:
        return str((await AgentStub(channel).Describe(pb.DescribeRequest(), timeout=10)).node)


async def main(node: str, address: str, ca: str, certificate: str, *rest: str) -> None:
    key, verbs, *words = rest
    for verb in verbs.split(","):
        print(await call((node, address), (ca, certificate, key), verb, words))


async def call(agent: tuple[str, str], me: tuple[str, str, str], verb: str, words: list[str]) -> str:
    (node, address), (ca, certificate, key) = agent, me
    client = None
    try:
        if certificate in ("-", "plain"):
            return f"answer {await without(node, address, ca, plain=certificate == 'plain')}"
        client = AgentClient(
            node, address, TlsSettings(ca=Path(ca), certificate=Path(certificate), key=Path(key)), notice=3.0
        )
        return f"answer {await with_certificate(client, verb, words)}"
    except DriverError as error:
        return f"refused {error.kind.value} {error}"
    except aio.AioRpcError as error:
        return f"refused {error.code().name} {error.details()}"
    finally:
        if client is not None:
            await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

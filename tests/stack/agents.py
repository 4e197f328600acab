"""The machine's end of ``agent_call.py``: what an agent answers to a caller on some host of the lab."""

from __future__ import annotations

from pathlib import Path

from tests.lab import Host
from tests.stack.stack import AGENT_PORT

PROGRAM = "/tmp/clinker-agent-call.py"
PYTHON_PATH = {"PYTHONPATH": "/opt/clinker/src:/opt/clinker/site-packages"}


def call_agent(
    caller: Host,
    agent: Host,
    verb: str,
    *words: str,
    me: str = "/etc/clinker/controller/controller",
    ca: str = "/etc/clinker/controller/ca.crt",
    node: str = "",
) -> str:
    """The line that it prints; of several verbs, joined by commas, a line each.

    ``me``: the files ``me.crt`` and ``me.key`` on the caller, ``-`` or ``plain``; ``node``: whom the caller takes the
    agent for, when it is not who it is.
    """
    caller.put(PROGRAM, (Path(__file__).parent / "agent_call.py").read_bytes())
    files = [me, me] if me in ("-", "plain") else [f"{me}.crt", f"{me}.key"]
    address = f"{agent.address}:{AGENT_PORT}"
    argv = ["python3", PROGRAM, node or agent.name, address, ca, *files, verb, *words]
    return caller.run(argv, env=PYTHON_PATH).stdout.strip()

"""``python -m tests.bench``; ONLY=KEY,KEY in the environment runs some."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence

from csi_driver.model.sizes import GIB
from tests.bench import copies, creates, decisions, looks, rest
from tests.bench.figures import (
    CHAIN_100,
    CREATE_THICK_BLOCK,
    CREATE_THIN_EXT4,
    DECISION_EXPRESSION,
    DECISION_LINEAR,
    DECISION_VS_LOOP,
    IDLE_FORKS,
    LOOK_1000,
    RESTORE,
    RSS_CONTROLLER,
    RSS_NODE,
    SNAPSHOT,
    Figure,
    Measured,
    UnknownFigure,
    select,
)
from tests.bench.report import table, write
from tests.lab import HostSpec, Lab
from tests.stack.stack import REPOSITORY, Stack

SPECS = (HostSpec("host1", (8 * GIB,)), HostSpec("host2"))
"""host1 stores; host2 consumes and has the controller."""
OUTPUT = REPOSITORY / "build" / "bench.json"
HERE: dict[Figure, Callable[[], Measured]] = {
    DECISION_VS_LOOP: decisions.vs_loop,
    DECISION_EXPRESSION: decisions.expression,
    DECISION_LINEAR: decisions.linear,
    LOOK_1000: looks.look_1000,
}
"""Those that need no hosts."""
MAKING: dict[Figure, Callable[[Stack], Measured]] = {
    CREATE_THIN_EXT4: creates.thin_ext4,
    CREATE_THICK_BLOCK: creates.thick_block,
    SNAPSHOT: copies.snapshot,
    RESTORE: copies.restore,
    CHAIN_100: copies.chain_100,
}
AT_REST: dict[Figure, Callable[[rest.Calm], Measured]] = {
    RSS_NODE: rest.rss_node,
    RSS_CONTROLLER: rest.rss_controller,
    IDLE_FORKS: rest.idle_forks,
}


def main() -> int:
    """0 when all that was asked for was measured, whatever came out; 2 when ONLY names nothing that there is."""
    try:
        figures = select(os.environ.get("ONLY", ""))
    except UnknownFigure as error:
        print(error, file=sys.stderr)
        return 2
    results = [HERE[figure]() for figure in figures if figure in HERE]
    on_hosts = [figure for figure in figures if figure not in HERE]
    if on_hosts:
        with Lab(SPECS) as lab:
            stack = Stack(lab=lab, patience=60)
            stack.up()
            results += _measure(stack, on_hosts)
    write(results, OUTPUT)
    print(table(results))
    print(f"\n{os.cpu_count()} processors; load of this machine over the last 5 minutes: {os.getloadavg()[1]:.1f}")
    return 0


def _measure(stack: Stack, figures: Sequence[Figure]) -> Iterator[Measured]:
    for figure in figures:
        if figure in MAKING:
            yield MAKING[figure](stack)
    resting = [figure for figure in figures if figure in AT_REST]
    if resting:
        calm = rest.Calm.reach(stack)
        for figure in resting:
            yield AT_REST[figure](calm)


if __name__ == "__main__":
    sys.exit(main())

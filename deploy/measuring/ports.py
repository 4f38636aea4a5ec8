"""Free ports for a whole demo, for a measurement that starts one."""

import random
import socket

from deploy.demo import plan

from .hub import CannotMeasure


def free_base() -> int:
    """A base from which all ports of a demo are free now, below those that outgoing connections get.

    Raises:
        CannotMeasure: There is none.
    """
    bases = list(range(20000, 32000, 30))
    random.SystemRandom().shuffle(bases)
    for base in bases:
        if all(_free(port) for port in plan.ports(base).values()):
            return base
    raise CannotMeasure("no free row of ports")


def _free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

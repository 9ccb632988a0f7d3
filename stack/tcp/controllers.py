"""The congestion controllers there are, by the names that applications choose them by (Linux's)."""

from stack.tcp.congestion import CongestionControl
from stack.tcp.cubic import Cubic
from stack.tcp.new_reno import NewReno

CONTROLLERS: dict[str, type[CongestionControl]] = {"cubic": Cubic, "reno": NewReno}
DEFAULT_CONTROLLER = "cubic"


def congestion_controller(name: str, mss: int) -> CongestionControl:
    """A new controller; ValueError for a name there is not."""
    controller = CONTROLLERS.get(name)
    if controller is None:
        raise ValueError(f"no congestion control {name!r}: there are {', '.join(sorted(CONTROLLERS))}")
    return controller(mss)

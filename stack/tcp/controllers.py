"""The congestion controllers there are, by the names that applications choose them by (Linux's)."""

from ebbrt.tcp_settings import SettingsError
from stack.tcp.congestion import CongestionControl
from stack.tcp.cubic import Cubic
from stack.tcp.new_reno import NewReno

CONTROLLERS: dict[str, type[CongestionControl]] = {"cubic": Cubic, "reno": NewReno}
DEFAULT_CONTROLLER = "cubic"


def congestion_controller(name: str, mss: int) -> CongestionControl:
    """A new controller; SettingsError for a name there is not. No name is that of the default."""
    controller = CONTROLLERS.get(name or DEFAULT_CONTROLLER)
    if controller is None:
        raise SettingsError(f"no congestion control {name!r}: there are {', '.join(sorted(CONTROLLERS))}")
    return controller(mss)

"""Snippets of Python in a script: assertions over the fields of TCP_INFO, by the names Linux has for them.

A snippet runs when its time has come, with the fields of the connection under test as they are then; what it defines
stays for the next one. A field that cannot be had fails the snippet that asks for it. It is a program like any other,
and does what it likes, as in packetdrill: run only scripts that you trust.
"""

import warnings
from types import CodeType
from typing import Any

CONSTANTS: dict[str, int] = {
    "TCPI_OPT_TIMESTAMPS": 1,
    "TCPI_OPT_SACK": 2,
    "TCPI_OPT_WSCALE": 4,
    "TCPI_OPT_ECN": 8,
    "TCPI_OPT_ECN_SEEN": 16,
    "TCPI_OPT_SYN_DATA": 32,
    "TCP_CA_Open": 0,
    "TCP_CA_Disorder": 1,
    "TCP_CA_CWR": 2,
    "TCP_CA_Recovery": 3,
    "TCP_CA_Loss": 4,
    "TCP_ESTABLISHED": 1,
    "TCP_SYN_SENT": 2,
    "TCP_SYN_RECV": 3,
    "TCP_FIN_WAIT1": 4,
    "TCP_FIN_WAIT2": 5,
    "TCP_TIME_WAIT": 6,
    "TCP_CLOSE": 7,
    "TCP_CLOSE_WAIT": 8,
    "TCP_LAST_ACK": 9,
    "TCP_LISTEN": 10,
    "TCP_CLOSING": 11,
}
FIELD = "tcpi_"


class Snippets:
    """The namespace in which the snippets of one script run."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = dict(CONSTANTS)

    def run(self, path: str, line: int, text: str, fields: dict[str, int], without: str) -> str:
        """Run a snippet that stands at ``line``; what went wrong, or ''.

        fields: of TCP_INFO, as far as there are any. without: why there are no others, or ''.
        """
        for name in [name for name in self._names if name.startswith(FIELD)]:
            del self._names[name]  # what another snippet saw is no more
        self._names.update(fields)
        try:
            exec(_compiled(path, line, text), self._names)
        except AssertionError as error:
            return f"the assertion does not hold{f': {error}' if error.args else ''}"
        except SyntaxError as error:
            return f"the snippet is not Python: {error.msg}"
        except NameError as error:
            if not (error.name or "").startswith(FIELD):
                return f"the snippet raised NameError: {error}"
            if without:
                return f"cannot get TCP info: {without}"
            return f"there is no {error.name} in the TCP info of this stack"
        except (Exception, SystemExit) as error:
            return f"the snippet raised {type(error).__name__}: {error}"
        return ""


def _compiled(path: str, line: int, text: str) -> CodeType:
    """The snippet, with its assertions even where Python itself runs without (``-O``).

    Raises SyntaxError, also for an assertion that always holds: Python takes ``assert (x, "why")``, and warns only.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)
        return compile("\n" * (line - 1) + text, path, "exec", optimize=0)

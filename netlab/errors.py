"""What every error a person may see has in common: what was wrong, and what to do about it.

The command line prints these without a traceback, and exits with their ``status``; anything else that escapes is a
bug of ours and keeps its traceback. NETLAB_TRACEBACK=1 in the environment shows one for these too. Each part of
``netlab`` derives its own small types from `NetlabError`.
"""


class NetlabError(Exception):
    """Something the person at the keyboard can mend.

    ``message`` says what was wrong and where; ``remedy`` what to do, as a sentence or a command. ``status`` is the
    exit status: 1 for what went wrong while working.
    """

    status = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message if not remedy else f"{message}\n{remedy}")
        self.message = message
        self.remedy = remedy


class UsageError(NetlabError):
    """What was asked for cannot be: the wrong value of an option, an unknown name. Nothing has been done."""

    status = 2

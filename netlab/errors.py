"""What every error a person may see has in common: what was wrong, and what to do about it.

The command line prints these without a traceback and exits with status 1; anything else that escapes is a bug of ours
and keeps its traceback. Each part of ``netlab`` derives its own small types from `NetlabError`.
"""


class NetlabError(Exception):
    """Something the person at the keyboard can mend.

    ``message`` says what was wrong and where; ``remedy`` what to do, as a sentence or a command.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message if not remedy else f"{message}\n{remedy}")
        self.message = message
        self.remedy = remedy

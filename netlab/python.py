"""How Python programs are started, and where they look for modules: never in the current folder.

``python -m`` puts the current folder before everything else, so that a ``random.py`` there would run in each of our
children, most of which are root's. `module_command` is therefore the one place that writes their command lines, and
`forget_current_folder` keeps the environment from naming that folder in other ways. `let_in` is what lets a user's
program find modules of its own. ``docs/adr/0011-imports.md`` says why so.
"""

import os
import sys
import sysconfig
from pathlib import Path

LISTS_OF_FOLDERS = ("PATH", "PYTHONPATH")  # variables in which an empty or relative entry means the current folder
# Our packages that a program shares a process with but may have its own of: back-ends have loaded what they need of
# them before the program comes. `ebbrt` is what the program itself uses, `netlab` what runs it.
REPLACEABLE = ("apps", "captures", "drivers", "stack")


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours, found where this program's are, in a process of its own."""
    return [sys.executable, "-P", "-m", module, *arguments]


def forget_current_folder() -> None:
    """Take the current folder out of where the programs that this process starts are looked for, and their modules."""
    for variable in LISTS_OF_FOLDERS:
        if variable in os.environ:
            folders = [folder for folder in os.environ[variable].split(os.pathsep) if os.path.isabs(folder)]
            os.environ[variable] = os.pathsep.join(folders)


def let_in(folder: str) -> None:
    """Let a user's program find its modules in ``folder``: after the standard library's, before what is installed.

    ``ebbrt`` and ``netlab`` stay ours. Where the folder has another package of ours, by name, the program is to get
    its own: ours is forgotten here, which what has imported it does not notice.
    """
    import ebbrt  # noqa: F401  (from here on no other can be imported)

    standard = Path(sysconfig.get_path("stdlib"))
    entries = [Path(entry) for entry in sys.path]
    position = 1 + max(
        (index for index, entry in enumerate(entries) if entry in (standard, standard / "lib-dynload")), default=-1
    )
    sys.path.insert(position, folder)
    for package in REPLACEABLE:
        if Path(folder, package).is_dir() or Path(folder, f"{package}.py").is_file():
            for name in [name for name in sys.modules if name.partition(".")[0] == package]:
                del sys.modules[name]

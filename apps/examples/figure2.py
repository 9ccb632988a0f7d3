"""The paper's Figure 2: an event that is spawned, and the Event Manager's counts of such events.

    python -P -m apps.examples.figure2

The Event Manager is an Ebb, so ``event_manager`` means, wherever the code runs, the representative of the core that
runs it. It counts the functions it has dispatched; the counts of the node and of the whole application are gathered
from the other cores and nodes while the event is blocked.
"""

from ebbrt.ebb import event_manager
from ebbrt.front_end import run
from ebbrt.runtime import Runtime


def main(runtime: Runtime) -> None:
    """The front-end's first event."""

    def spawned() -> None:
        print("application:", event_manager.get_num())
        print("this node:", event_manager.get_num_node())
        print("this core:", event_manager.get_num_core())

    event_manager.spawn(spawned)


if __name__ == "__main__":
    run(main)

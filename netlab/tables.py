"""Tables that fit the terminal with whole headings: where it is narrow, the columns that say least are left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_LEAST_WRAPPED = 16  # characters, narrower than which text that is broken cannot be read
_UNBOUNDED = 10_000  # columns: wide enough for a table's natural width


@dataclass(frozen=True)
class Column:
    """A column of `fitted`.

    rank: 0 is never left out; of the others those of the greatest rank go first. wrap: columns after which its text
    is broken, or None for text that stays in one line.
    """

    heading: str
    justify: Literal["left", "right"] = "right"
    rank: int = 0
    wrap: int | None = None


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, title: str | None = None) -> Table:
    """The table of the columns that fit into `width` characters.

    A row has a cell (of rich's markup) for each of `columns`; an empty row is a line between those around it.
    """
    shown = list(range(len(columns)))
    console = Console(width=_UNBOUNDED)
    while True:
        table = _table(columns, rows, shown, title)
        if Measurement.get(console, console.options, table).minimum <= width:
            return table
        droppable = [index for index in shown if columns[index].rank]
        if not droppable:
            return table
        shown.remove(max(droppable, key=lambda index: (columns[index].rank, index)))


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]], shown: Sequence[int], title: str | None) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index in shown:
        each = columns[index]
        if each.wrap is None:
            cells = [each.heading, *(row[index] for row in rows if row)]
            least = max(Text.from_markup(line).cell_len for cell in cells for line in cell.split("\n"))
        else:
            least = max(len(each.heading), min(each.wrap, _LEAST_WRAPPED))
        table.add_column(
            each.heading, justify=each.justify, no_wrap=each.wrap is None, max_width=each.wrap, min_width=least
        )
    for row in rows:
        if row:
            table.add_row(*(row[index] for index in shown))
        else:
            table.add_section()
    return table

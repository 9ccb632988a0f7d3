"""packetdrill scripts against the stack: the language, and what runs it.

A script says what an application calls, what the other host sends, and what the stack is to answer, each at its time.
This package parses the language that Google's packetdrill publishes, and runs it against a node's own stack: in the
simulation under virtual time, or on a live TAP.

The way of a script, which is also the reading order:

- ``lexer``, ``token_stream``, ``parser`` with ``packet_parser`` and ``expression_parser`` make a ``tree``. The whole
  file is parsed and checked before anything runs, and an error names line, column, what is there and what should be.
- ``configuration`` is what the options at its head say.
- ``runner`` takes event after event to its time. ``exchange`` has the packets: ``flow`` turns the script's numbers
  into those on the wire and back, ``packets`` builds and dissects with scapy, which so judges the stack from outside,
  and ``compare`` says what differs. ``system_calls`` has the calls, on the sockets of ``stream_socket`` and
  ``datagram_socket``: a thin layer over the stack's interface, with the semantics and the numbers of Linux.
- ``sysctl`` has what lines for the shell set, in scripts and in a file of defaults; ``shell_lines`` reads them.
- ``wire`` is where stack and runner meet. The runner knows no other difference between simulated and live.
- ``report`` is what came of it; ``session`` runs many.

Choices. The parser is written by hand: the language is small, its scanner has rules of longest match that a grammar
library would have to be bent to, and its users need errors that speak of scripts. Blocking calls are generators, so
that one thread of control runs everything and the same script gives the same packets each time. Nothing of a script is
passed to a shell. What the language has and this package has not is refused, with the line, before or when it is met;
it is never skipped.
"""

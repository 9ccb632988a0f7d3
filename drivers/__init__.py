"""See docs/tour.md."""

import ebbrt  # noqa: F401  (chooses the compiled or the plain build before any module of ours loads)

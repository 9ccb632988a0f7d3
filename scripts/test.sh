#!/usr/bin/env bash
# Runs the tests in both builds: compiled, all of them; then plain Python, all but the live ones, whose point is the
# kernel at the other end and not the build. Arguments go to pytest, in both. Fails when either fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

NONE_COLLECTED=5 # pytest's status when a selection leaves no test

echo "== compiled"
# A user namespace, where that gives somebody who is not root the rights that live tests need.
NETLAB_PURE=0 .venv/bin/python -m netlab.privilege .venv/bin/python -m pytest "$@"
compiled=$?

echo "== plain Python (NETLAB_PURE=1)"
NETLAB_PURE=1 .venv/bin/python -m pytest -m "not live" "$@"
plain=$?

# A selection given by hand may hold live tests only, or tests of one build only.
if [ $# -gt 0 ]; then
    [ $plain -ne $NONE_COLLECTED ] || plain=$compiled
    [ $compiled -ne $NONE_COLLECTED ] || compiled=$plain
fi
[ $compiled -eq 0 ] && [ $plain -eq 0 ]

#!/usr/bin/env bash
# Sets everything up, from nothing, in the checkout: Debian packages, .venv with exactly requirements.txt, and the
# compiled modules. Run again when nothing changed it only looks. Interrupted anywhere, the next run finishes the work:
# what is half made carries no mark of being complete, and is made anew. `setup.sh tests` adds what only tests need.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-python3}
STAMP=.venv/complete
FOR=${1:-users}

LOG=build/setup.log

say() { printf 'setup: %s\n' "$*" >&2; }

# Runs a command whose output is of interest only when it fails.
quietly() {
    mkdir -p build
    "$@" > $LOG 2>&1 || {
        cat $LOG >&2
        say "failed: $*"
        say "its whole output is in $LOG"
        exit 1
    }
}

# Names the Debian packages that are missing, by looking for what we need of each.
missing_packages() {
    local program package
    if [ "$FOR" = tests ]; then
        [ -e /usr/share/java/zookeeper.jar ] || echo zookeeper
        command -v tshark > /dev/null || echo tshark
    fi
    if [ "$FOR" = tests ] && ! command -v udhcpd > /dev/null; then
        echo udhcpd
    fi
    if [ "$FOR" = tests ] && ! command -v dnsmasq > /dev/null; then
        echo dnsmasq-base
    fi
    while read -r program package; do
        command -v "$program" > /dev/null || echo "$package"
    done <<< "gcc gcc
make make
memcached memcached
memcaslap libmemcached-tools
tcpdump tcpdump
ip iproute2
ping iputils-ping
setpriv util-linux"
    if ! command -v "$PYTHON" > /dev/null; then
        printf '%s\n' python3 python3-venv python3-dev
        return
    fi
    "$PYTHON" - << 'END'
import importlib.util, pathlib, sys, sysconfig
if importlib.util.find_spec("ensurepip") is None:
    print("python3-venv")
if not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists():
    print("python{}.{}-dev".format(*sys.version_info))
END
}

install_packages() {
    local missing
    missing=$(missing_packages | sort -u | tr '\n' ' ')
    missing=${missing% }
    [ -n "$missing" ] || return 0
    say "missing Debian packages: $missing"
    if [ "$(id -u)" -ne 0 ]; then
        say "install them, then run this again:"
        echo "    sudo apt-get install $missing" >&2
        exit 1
    fi
    say "installing them"
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get -q update
    # shellcheck disable=SC2086  # one word a package
    quietly apt-get -q install -y --no-install-recommends $missing
}

check_python() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "$PYTHON is $("$PYTHON" -V); 3.11 or later is needed. Name one: PYTHON=python3.12 scripts/setup.sh"
        exit 1
    }
}

# What a complete .venv was made from. A change in any of it makes a new one.
wanted_stamp() {
    "$PYTHON" -c 'import sys; print(sys.version)'
    pwd
    sha256sum requirements.txt pyproject.toml
}

make_venv() {
    local wanted
    wanted=$(wanted_stamp)
    [ "$(cat $STAMP 2> /dev/null)" != "$wanted" ] || return 0
    say "making .venv with the packages of requirements.txt (once, about a minute)"
    rm -rf .venv ebbrt/_built.json # the manifest too: another Python needs other extensions
    quietly "$PYTHON" -m venv .venv
    quietly .venv/bin/python -m pip install --disable-pip-version-check --no-input -r requirements.txt
    say "compiling, and installing the netlab command"
    quietly .venv/bin/python -m pip install --disable-pip-version-check --no-input \
        --no-deps --no-build-isolation -e .
    echo "$wanted" > $STAMP.new
    mv $STAMP.new $STAMP
}

compile() {
    local stale
    stale=$(.venv/bin/python - << 'END'
import importlib.util, pathlib
spec = importlib.util.spec_from_file_location("build", "ebbrt/build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
print(*build.stale_sources(pathlib.Path(".")))
END
    )
    [ -n "$stale" ] || return 0
    say "compiling: $stale"
    rm -f ebbrt/_built.json # while it is missing, nobody takes what lies there for a finished build
    quietly .venv/bin/python setup.py -q build_ext --inplace
}

exec 9< . # one set-up at a time in this checkout
flock 9
install_packages
check_python
make_venv
compile

#!/bin/sh
# Make .venv in the project's root and install pixelhand into it, in the versions of constraints.txt.
set -eu
cd "$(dirname "$0")/.."

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else echo "this needs root, and there is no sudo: $*" >&2; return 1
    fi
}

python=""
if [ -n "${PYTHON:-}" ]; then
    new_enough "$PYTHON" || { echo "PYTHON=$PYTHON is not a Python of 3.11 or newer; name another" >&2; exit 1; }
    python=$PYTHON
else
    for name in python3.11 python3.12 python3.13 python3; do
        if new_enough "$name"; then python=$name; break; fi
    done
fi
if [ -z "$python" ]; then
    echo "pixelhand needs Python 3.11 or newer, and found none; install it, or name it: make PYTHON=/path/to/python3" >&2
    exit 1
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    if ! "$python" -m venv .venv >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
        # Debian keeps venv in a package of its own
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "python $version has no venv; installing python$version-venv" >&2
        as_root apt-get update -qq || true
        as_root apt-get install -y -qq "python$version-venv" || true
        rm -rf .venv
    fi
    [ -x .venv/bin/python ] || "$python" -m venv .venv  # shows what is wrong, if it still is
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
touch .venv/.installed

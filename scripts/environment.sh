#!/bin/sh
# Make .venv in the project's root and install pixelhand into it, in the versions of constraints.txt.
set -eu
cd "$(dirname "$0")/.."

python=""
for name in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    [ -n "$name" ] || continue
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$name; break; fi
done
if [ -z "$python" ]; then
    echo "pixelhand needs Python 3.11 or newer, and found none; install it, or name it: make PYTHON=/path/to/python3" >&2
    exit 1
fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    if ! "$python" -m venv .venv 2>/dev/null; then
        # Debian keeps venv in a package of its own
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "python $version has no venv; installing python$version-venv" >&2
        as_root apt-get update -qq
        as_root apt-get install -y -qq "python$version-venv"
        rm -rf .venv
        "$python" -m venv .venv
    fi
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
touch .venv/.installed

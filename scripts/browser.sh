#!/bin/sh
# Find a Chrome or Chromium that starts; where there is none, install one.
set -eu
cd "$(dirname "$0")/.."

works() { .venv/bin/python -m envs.chromium >/dev/null 2>&1; }
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else echo "this needs root, and there is no sudo: $*" >&2; return 1
    fi
}

works && exit 0
echo "no Chrome or Chromium starts here; installing Playwright's own" >&2
if timeout 600 .venv/bin/python -m playwright install chromium >/dev/null 2>&1; then
    works && exit 0
    echo "it lacks libraries of the system; installing them" >&2
    as_root .venv/bin/python -m playwright install-deps chromium >/dev/null || true
    works && exit 0
fi
if command -v apt-get >/dev/null 2>&1; then
    echo "installing the system's chromium" >&2
    as_root apt-get update -qq || true
    as_root apt-get install -y -qq chromium fonts-liberation >/dev/null || true
fi
# says where it looked and what to install, and fails, if there is still none that starts
.venv/bin/python -m envs.chromium >/dev/null

#!/bin/sh
# Find Chrome or Chromium, as the browser surface does; where there is none, install one.
set -eu
cd "$(dirname "$0")/.."

found() { .venv/bin/python -m envs.chromium >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

found && exit 0
echo "no Chrome or Chromium here; installing Playwright's own" >&2
timeout 600 .venv/bin/python -m playwright install chromium >/dev/null 2>&1 || true
found && exit 0
if command -v apt-get >/dev/null 2>&1; then
    echo "Playwright's cannot be had; installing the system's chromium" >&2
    as_root apt-get update -qq
    as_root apt-get install -y -qq chromium fonts-liberation >/dev/null
fi
# says where it looked and what to install, and fails, if there is still none
.venv/bin/python -m envs.chromium

#!/bin/sh
# Install adb where it is missing (Debian and its kin). With it the Android tests run; without it they say so and skip.
set -eu

command -v adb >/dev/null 2>&1 && exit 0
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else echo "this needs root, and there is no sudo: $*" >&2; return 1
    fi
}

if ! command -v apt-get >/dev/null 2>&1; then
    echo "adb is missing, and there is no apt-get to install it with; get Android's platform-tools" >&2
    exit 1
fi
echo "installing adb" >&2
as_root apt-get install -y -qq --no-install-recommends adb >/dev/null 2>&1 || {
    as_root apt-get update -qq || true
    as_root apt-get install -y -qq --no-install-recommends adb >/dev/null
}
command -v adb >/dev/null 2>&1 || { echo "adb was installed, yet it is not on PATH" >&2; exit 1; }

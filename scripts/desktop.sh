#!/bin/sh
# What the virtual desktop and its tests need: an X server, a window manager, and real programs of GTK and Tk.
# Where they are there, it does nothing; on a system without apt-get it says what to install, and the tests skip.
set -eu

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else echo "this needs root, and there is no sudo: $*" >&2; return 1
    fi
}
has() { command -v "$1" >/dev/null 2>&1; }
has_tk() { /usr/bin/python3 -c 'import tkinter' 2>/dev/null; } # the sandbox of virtual desktops contains no other

missing=""
has Xvfb || missing="$missing xvfb"
# jwm is one package; openbox, which is used where it is there, brings 18, among them fonts that change how pages look
has openbox || has jwm || missing="$missing jwm"
has bwrap || missing="$missing bubblewrap" # keeps the programs of a virtual desktop from the user's files
has mousepad || missing="$missing mousepad"
has galculator || missing="$missing galculator"
has scrot || missing="$missing scrot" # what pyautogui takes its screenshots with, in the comparison of speeds
has_tk || missing="$missing python3-tk"
[ -z "$missing" ] && exit 0

if ! has apt-get; then
    echo "the tests of the desktop skip without:$missing" >&2
    exit 0
fi
echo "installing for the tests of the desktop:$missing" >&2
as_root apt-get update -qq || true
# shellcheck disable=SC2086 - a list
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null

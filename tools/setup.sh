#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs what is missing of the packages in tools/packages. Says nothing and asks for no
# right when nothing is missing.
#
# usage: tools/setup.sh SECTION...
set -eu

list=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/packages

die() {
        echo "setup: $*" >&2
        exit 1
}

[ $# -gt 0 ] || die "usage: tools/setup.sh SECTION... (build, test, fuzz, peers)"

# The packages of section $1.
packages_of() {
        awk -v want="[$1]" '
                /^[ \t]*(#|$)/ { next }
                /^\[/ { inside = ($1 == want); found += inside; next }
                inside { print $1 }
                END { exit !found }
        ' "$list" || die "no section [$1] in $list"
}

is_installed() {
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

wanted=
for section; do
        found=$(packages_of "$section")
        wanted="$wanted $found"
done

if ! command -v dpkg-query >/dev/null 2>&1; then
        echo "setup: no Debian here, so nothing is installed; needed are, by Debian's names:" >&2
        # shellcheck disable=SC2086 # one word a package
        echo "setup:" $wanted >&2
        exit 0
fi

missing=
for package in $wanted; do
        is_installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
        as_root=
elif command -v sudo >/dev/null 2>&1; then
        # Without a terminal nobody could type a password: fail rather than wait.
        if [ -t 0 ]; then as_root=sudo; else as_root='sudo -n'; fi
else
        die "not root and no sudo; to be installed:$missing"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Quiet unless it fails.
apt() {
        $as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1
}

echo "setup: installing$missing" >&2
# shellcheck disable=SC2086 # one word a package
if ! { apt update && apt install --no-install-recommends $missing; }; then
        cat "$log" >&2
        die "could not install$missing"
fi

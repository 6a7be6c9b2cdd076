#!/bin/sh
# Prometheus and nginx for the tests of deploy/: Debian's packages, unpacked into .tools. Nothing is
# installed, so no service of theirs starts and no port is taken. Without apt the tests that need
# them are skipped and say so.
set -eu
cd "$(dirname "$0")/.."

has() { PATH=$PATH:/usr/sbin:$PWD/.tools/usr/bin:$PWD/.tools/usr/sbin command -v "$1" >/dev/null; }

if has prometheus && has promtool && has nginx; then exit 0; fi
command -v apt-get >/dev/null || { echo "no apt-get: without Prometheus and nginx"; exit 0; }
[ "$(id -u)" != 0 ] || apt-get update -qq >/dev/null 2>&1 || true
echo "Fetching the Debian packages prometheus and nginx ..."
mkdir -p .tools
cd .tools
for package in prometheus nginx; do
    if apt-get download -qq "$package" >/dev/null 2>&1; then
        dpkg -x "$package"_*.deb .
    else
        echo "$package cannot be fetched: the tests that need it will be skipped"
    fi
    rm -f "$package"_*.deb
done

#!/usr/bin/env bash
# What the browser tests need: Chromium with its driver, and the accessibility checker (axe-core, by npm). Installs what is
# missing where it may; safe to run again.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v chromedriver >/dev/null || ! command -v chromium >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing Chromium (once)"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core >/dev/null
    else
        echo "Chromium is missing (Debian: apt install chromium chromium-driver)" >&2
        exit 1
    fi
fi
./node.sh
stamp=browser/node_modules/.package-lock.json
if [ ! "$stamp" -nt browser/package-lock.json ]; then
    npm ci --prefix browser --ignore-scripts --no-audit --no-fund --loglevel=error
    touch "$stamp"
fi
chromium --version 2>/dev/null

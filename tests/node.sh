#!/usr/bin/env bash
# Node.js for the checks of salesforce/ and of the console's pages: 20.19 or newer with npm; installs it where it may.
set -euo pipefail

new_enough() {
    command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split("."); process.exit(+a > 20 || (+a === 20 && +b >= 19) ? 0 : 1)' 2>/dev/null
}
if ! new_enough && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing Node.js (once)"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
fi
if ! new_enough; then
    echo "Node.js 20.19 or newer with npm is missing: install it (https://nodejs.org, or Debian 13: apt install nodejs npm)" >&2
    exit 1
fi

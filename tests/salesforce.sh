#!/usr/bin/env bash
# Checks of salesforce/: ESLint and Jest for the component, a grammar for the class, the types that Salesforce publishes for
# each metadata file, and the Salesforce CLI on a package as `wicketgate salesforce package` writes it.
# Needs Node.js 20.19 or newer with npm; installs it where it may. Safe to run again: what is installed stays.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/node.sh

# What the lock names, unless it is there already.
install() {
    local stamp="$1/node_modules/.package-lock.json"
    if [ ! "$stamp" -nt "$1/package-lock.json" ] || [ ! "$stamp" -nt "$1/package.json" ]; then
        echo "installing what $1/package-lock.json names (once, under a minute)"
        npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error
        touch "$stamp"
    fi
}
install salesforce
install salesforce/cli

npm --prefix salesforce run --silent lint
npm --prefix salesforce test --silent
npm --prefix salesforce run --silent apex

sample="${CARGO_TARGET_DIR:-target}/tmp/salesforce-package"
# The tests leave it behind; one that is older than what it is made from is made again.
if [ ! -d "$sample/source" ] ||
    [ -n "$(find salesforce/templates salesforce/force-app src/salesforce/package -newer "$sample/source" -print -quit)" ]; then
    cargo test --quiet --locked --test it -- salesforce::package::the_same_wish >/dev/null
fi
sample="$(cd "$sample" && pwd)"
types="$PWD/salesforce/cli/node_modules/@salesforce/types/lib/metadata.d.ts"
node salesforce/checks/metadata.mjs "$sample/source" "$types"

# The CLI keeps notes at home, asks for news and counts its users: none of that here.
export HOME="$sample/home" SF_DISABLE_TELEMETRY=true SF_AUTOUPDATE_DISABLE=true SF_SKIP_NEW_VERSION_CHECK=true
export PATH="$PWD/salesforce/cli/node_modules/.bin:$PATH"
mkdir -p "$HOME"
convert() { # folder, arguments
    local folder="$1" said
    shift
    if ! said="$(cd "$folder" && sf project convert source "$@" 2>&1)"; then
        printf '%s\n' "$said" >&2
        exit 1
    fi
}
rm -rf "$sample/converted"
for part in force-app external-client-app connected-app; do
    convert "$sample/source" --manifest "manifest/$part.xml" --output-dir "$sample/converted/$part"
done
# The repository's own parts stand without a node, too.
convert "$PWD/salesforce" --source-dir force-app --output-dir "$sample/converted/own"

# What our zip holds is what the CLI makes of our folder.
files() { (cd "$1" && find . -type f ! -name package.xml | sort); }
ours="$(files "$sample/metadata")"
theirs="$( (files "$sample/converted/force-app" && files "$sample/converted/external-client-app") | sort)"
if [ "$ours" != "$theirs" ]; then
    echo "the zip holds other files than the Salesforce CLI makes of the folder:" >&2
    diff <(echo "$ours") <(echo "$theirs") >&2
    exit 1
fi
echo "the Salesforce CLI takes the package: $(echo "$theirs" | wc -l) files"

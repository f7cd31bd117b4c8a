#!/usr/bin/env bash
# Writes requirements/*.txt: every version pinned, for Python 3.11 and later on every platform, with
# the hashes of the files and without the address they came from. `scripts/lock.sh --upgrade` takes
# the newest versions; without it only what pyproject.toml demands changes.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=$(command -v uv || echo .venv/bin/uv)
if ! command -v "$uv" >/dev/null; then
    echo "uv is needed to write the lock: .venv/bin/pip install uv" >&2
    exit 1
fi

compile() {
    "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@"
}

compile --group build --extra coap "$@" --output-file requirements/run.txt
compile --group build --extra dev --extra otel --constraint requirements/run.txt "$@" \
    --output-file requirements/dev.txt

if grep -nE '://|file:|^-' requirements/*.txt; then
    echo "The lock carries an address; see the lines above" >&2
    exit 1
fi

#!/usr/bin/env bash
# Makes .venv hold what requirements/$1.txt says, and the project itself; then touches .venv/.$1.
# That stamp comes last: an interrupted installation is done again.
set -euo pipefail
cd "$(dirname "$0")/.."
set_name=$1 # run or dev

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3.14 python3 python; do
        if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "Fleetwire needs Python 3.11 or later and found none. Install it" \
        "(Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3" >&2
    return 1
}

if ! is_new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version)"
    if ! "$python" -m venv --clear .venv; then
        echo "$python cannot make virtual environments. On Debian: apt-get install python3-venv" >&2
        exit 1
    fi
fi

# --no-build-isolation: the lock has the build tool too, so nothing unlocked is ever fetched.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
echo "Installing requirements/$set_name.txt"
.venv/bin/python -m pip install --quiet --require-hashes -r "requirements/$set_name.txt"
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
touch ".venv/.$set_name"

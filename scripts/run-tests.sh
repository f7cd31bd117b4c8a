#!/usr/bin/env bash
# Runs all tests but the soak: the quick ones on all cores, then those that start servers, kill them
# or look at the clock, one at a time. Arguments go to pytest: `scripts/run-tests.sh tests/broker -x`.
set -uo pipefail
cd "$(dirname "$0")/.."

NONE_SELECTED=5 # pytest's exit status
empty=0

run() {
    .venv/bin/python -m pytest "$@"
    local status=$?
    if [ "$status" = "$NONE_SELECTED" ]; then
        empty=$((empty + 1))
    elif [ "$status" != 0 ]; then
        exit "$status"
    fi
}

run -n auto --dist loadfile -m "not slow and not soak" "$@"
run -m "slow and not soak" "$@"
if [ "$empty" = 2 ]; then
    echo "No test was selected" >&2
    exit "$NONE_SELECTED"
fi

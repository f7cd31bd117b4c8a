#!/usr/bin/env bash
# Gets what the tests need from outside Python: as root on Debian it installs it, elsewhere it names
# what is missing and which tests are left out for it. With FLEETWIRE_FORBID_SKIPS=1 (CI) something
# missing is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

# A tool counts when some test asks for it: marker, command, Debian package.
tools=(
    "needs_mosquitto mosquitto mosquitto"
    "needs_mosquitto mosquitto_pub mosquitto-clients"
    "needs_node node nodejs"
    "needs_node npm npm"
    "needs_chromium chromium chromium"
    "needs_cc cc gcc"
)
missing=()
packages=()

look() {
    local marker command package
    missing=()
    packages=()
    for tool in "${tools[@]}"; do
        read -r marker command package <<<"$tool"
        if grep -rqs --include='test_*.py' "mark\.$marker" tests && ! find_command "$command"; then
            missing+=("$command (left out: tests marked $marker)")
            packages+=("$package")
        fi
    done
}

find_command() {
    PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null
}

look
if ((${#packages[@]})) && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null
    # Debian starts a Mosquitto on port 1883 with the package. Nobody asked for it, so it goes again;
    # one that was here before is left alone.
    if [[ " ${packages[*]} " == *" mosquitto "* ]] && command -v service >/dev/null; then
        service mosquitto stop >/dev/null 2>&1 || true
    fi
    look
fi

if grep -rqs --include='test_*.py' "mark\.needs_node" tests && find_command npm; then
    if ! cmp -s tests/node/package-lock.json tests/node/node_modules/.fleetwire-lock; then
        echo "Installing tests/node"
        npm ci --prefix tests/node --silent
        cp tests/node/package-lock.json tests/node/node_modules/.fleetwire-lock
    fi
fi

if ((${#missing[@]})); then
    printf 'Missing: %s\n' "${missing[@]}" >&2
    if [ "${FLEETWIRE_FORBID_SKIPS:-}" = 1 ]; then
        echo "FLEETWIRE_FORBID_SKIPS=1 allows no test to be left out" >&2
        exit 1
    fi
fi

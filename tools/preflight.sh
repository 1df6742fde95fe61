#!/usr/bin/env bash
# Check what this host lacks for a make target, and offer the one apt line that installs it.
#
#   tools/preflight.sh bench-migrate|charmlint|charms|demo|lint|test
#
# Prints the Python interpreter to use on standard output, and nothing else there. As root, what
# is missing is installed. As an ordinary user the line is printed and the exit status is 2.
# SKIP_MISSING=1 goes on without what only some tests need; those tests then skip.
# For charms nothing is printed where charmcraft packs in an instance of its own.
#
#   PYTHON   the interpreter to use; only this one is looked at
#   VENV     an environment that may exist; its interpreter is preferred, so that it is kept
set -euo pipefail

readonly target=$1
readonly wanted="Python 3.11 or 3.12 with venv, ensurepip, ssl, sqlite3 and lzma"
# A charm brings packages for the Python of its base, Ubuntu 24.04.
[[ $target == charm* ]] && versions='((3, 12),)' || versions='((3, 11), (3, 12))'
readonly versions

say() { printf 'preflight: %s\n' "$*" >&2; }

is_suitable_python() {
    "$1" - >/dev/null 2>&1 <<PYTHON
import ensurepip, lzma, sqlite3, ssl, sys, venv
sys.exit(sys.version_info[:2] not in $versions)
PYTHON
}

# Every interpreter of a name is tried, not only the first on PATH: that one may be a version
# manager's placeholder, and a right one may stand behind it, or among pyenv's own.
find_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        command -v "$PYTHON" || true
        return
    fi
    while read -r candidate; do
        if is_suitable_python "$candidate"; then
            echo "$candidate"
            return
        fi
    done < <(
        echo "${VENV:-.venv}/bin/python"
        type -aP python3 python3.12 python3.11
        [[ $target != charm* ]] || compgen -G "${HOME:-}/.pyenv/versions/3.12*/bin/python3.12"
    )
}

# python3-venv helps only where the distribution's own Python is one of ours.
distribution_python_is_ours() {
    [[ ! -x /usr/bin/python3 ]] ||
        /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))'
}

has_postgresql_server() {
    command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null
}

has_faketime() {
    command -v faketime >/dev/null || compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null
}

is_ubuntu() { [[ $(. /etc/os-release && echo "$ID") == ubuntu ]]; }

has_package() {
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# What charmcraft itself runs on, and what its recipe for Python asks of a host.
readonly to_pack=(python3-apt python3-dev python3-venv)

# Fill needed (nothing works without it) and useful (some tests skip without it), both lists of
# packages that are missing.
look() {
    local package
    needed=() useful=()
    [[ $target != charmlint ]] || return 0
    if [[ $target == charms ]]; then
        for package in "${to_pack[@]}"; do
            has_package "$package" || needed+=("$package")
        done
        return
    fi
    [[ -n $python ]] || needed+=(python3-venv)
    if [[ $target == bench-migrate ]]; then
        has_postgresql_server || needed+=(postgresql)
    elif [[ $target != lint ]]; then
        command -v gpg >/dev/null || needed+=(gpg)
        command -v gpg-agent >/dev/null || needed+=(gpg-agent)
    fi
    if [[ $target == test ]]; then
        has_postgresql_server || useful+=(postgresql)
        command -v openssl >/dev/null || useful+=(openssl)
        command -v cpio >/dev/null || useful+=(cpio)
        has_faketime || useful+=(faketime)
        command -v mksquashfs >/dev/null || useful+=(squashfs-tools)
        # The hosts that charms are deployed on, and the charms: only root can make either.
        if [[ $(id -u) == 0 ]]; then
            for package in debootstrap iproute2 systemd-container "${to_pack[@]}"; do
                has_package "$package" || useful+=("$package")
            done
        fi
    fi
}

missing_packages() {
    local packages=("${needed[@]}")
    [[ ${SKIP_MISSING:-} == 1 ]] || packages+=("${useful[@]}")
    echo "${packages[*]}"
}

# apt-get is heard only where it fails. Its output is long, and the run goes on after it.
install_as_root() {
    local said
    say "installing with apt-get: $1"
    # A repository of someone else that does not answer must not stop us; install tells the truth.
    apt-get -qq update >/dev/null 2>&1 </dev/null || say "apt-get update failed; trying all the same"
    # shellcheck disable=SC2086  # The packages are words.
    if ! said=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 install $1 2>&1 </dev/null); then
        printf '%s\n' "$said" >&2
        say "apt-get could not install all of: $1"
        exit 2
    fi
}

if [[ $target == charms ]] && is_ubuntu && command -v charmcraft >/dev/null; then
    exit
fi
python=$(find_python)
if [[ $target == charm* ]] && ! is_suitable_python "$python"; then
    say "make $target needs Python 3.12, as charms run on it; try PYTHON=/path/to/python3.12"
    exit 2
fi
if [[ $target == charms && $(id -u) != 0 ]]; then
    say "make charms needs root here; where charmcraft is on the path of an Ubuntu, it does not"
    exit 2
fi
if [[ -n ${PYTHON:-} ]] && ! is_suitable_python "$python"; then
    say "PYTHON=$PYTHON is not $wanted"
    exit 2
fi
if [[ -z $python ]] && ! distribution_python_is_ours; then
    say "$wanted is needed; this host's own is $(/usr/bin/python3 --version)"
    say "install one beside it, then: make $target PYTHON=/path/to/python3.12"
    exit 2
fi

look
missing=$(missing_packages)
if [[ -n $missing ]]; then
    if ! command -v apt-get >/dev/null; then
        say "missing here (names of Debian packages): $missing"
        exit 2
    fi
    if [[ $(id -u) != 0 ]]; then
        say "missing here: $missing. Install with:"
        say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
        [[ ${#needed[@]} != 0 ]] || say "or go on without, and skip what needs it: SKIP_MISSING=1"
        exit 2
    fi
    install_as_root "$missing"
    python=$(find_python)
    look
    missing=$(missing_packages)
    if [[ -n $missing ]]; then
        say "apt-get has run, and this is still missing: $missing"
        exit 2
    fi
fi
echo "$python"

#!/usr/bin/env bash
# Make the virtual environment what the lock file says. Running it again changes nothing.
#
#   tools/environment.sh PYTHON product|workshop
#
# product is the engine with all its extras; workshop adds the tools for linting and testing.
# Packages are only ever added or brought to their locked version: what a developer put in stays.
# VENV says where the environment lies (.venv). It is rebuilt where PYTHON is another
# interpreter, or this directory was moved.
set -euo pipefail

readonly packages=$2
readonly venv=${VENV:-.venv}
readonly uv_version=0.13.9

case $packages in
    product) groups=(--no-default-groups) ;;
    workshop) groups=() ;;
    *) echo "environment: product or workshop, not $packages" >&2; exit 2 ;;
esac

# The interpreter itself: PYTHON may be the one in an environment that is about to be removed.
base_of() { "$1" -c 'import os, sys; print(os.path.realpath(sys._base_executable))' 2>/dev/null; }
python=$(base_of "$1")

# An environment cannot be moved: the commands in it, and the engine installed in place, hold paths.
is_usable() {
    [[ $(base_of "$venv/bin/python") == "$python" ]] &&
        [[ ! -e $venv/.made-in || $(<"$venv/.made-in") == "$PWD" ]]
}
stamp() { sha256sum uv.lock pyproject.toml lib/pyproject.toml charms/common/pyproject.toml; }
is_synced() { cmp -s "$venv/.synced-$packages" <(stamp); }

# Looked at before the lock is taken, so that a user who may not write here can use what is here.
if is_usable && is_synced; then
    exit 0
fi

# Two targets started at once must not build the same environment.
mkdir -p .cache
exec 9>.cache/environment.lock
flock 9

if [[ -e $venv ]] && ! is_usable; then
    rm -rf "$venv"
fi
if [[ ! -e $venv ]]; then
    echo "environment: making $venv with $("$python" --version)" >&2
    "$python" -m venv "$venv"
    pwd >"$venv/.made-in"
fi
if [[ $("$venv/bin/uv" --version 2>/dev/null) != "uv $uv_version"* ]]; then
    # An environment that uv made has no pip of its own.
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >&2
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check "uv==$uv_version"
fi
if ! is_synced; then
    echo "environment: installing what uv.lock names ($packages)" >&2
    # The host's own certificates, as pip uses them, so that both work behind the same proxy.
    UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=$venv UV_SYSTEM_CERTS=true \
        "$venv/bin/uv" sync --quiet --frozen --inexact --python "$venv/bin/python" "${groups[@]}"
    stamp >"$venv/.synced-product"
    [[ $packages == product ]] || stamp >"$venv/.synced-workshop"
fi

#!/usr/bin/env bash
# Hold both charms against the rules of their field, in an environment of charmlint's own.
#
#   tools/charmlint.sh PYTHON
#
# PYTHON must be 3.12 or later. What is not asked of us is in pyproject.toml, with the reason.
set -euo pipefail

readonly python=$1 charmlint_version=0.3.0
readonly tools=$PWD/.cache/charmlint-$charmlint_version

if [[ ! -e $tools/made ]]; then
    rm -rf "$tools"
    "$python" -m venv "$tools"
    "$tools/bin/python" -m pip install -qq --disable-pip-version-check \
        "charmlint==$charmlint_version"
    touch "$tools/made"
fi
for charm in charms/region charms/rack; do
    "$tools/bin/charmlint" --strict "$charm"
done

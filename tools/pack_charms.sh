#!/usr/bin/env bash
# Pack both charms into dist/. Running it again without a change packs nothing.
#
#   tools/pack_charms.sh PYTHON
#
# PYTHON is what tools/preflight.sh says: empty where charmcraft packs in an instance of its own.
#
# What is packed is what git knows of, or would take, at this moment, copied aside: nothing is left
# behind in the tree, and no stray environment gets in. One recipe (charmcraft.yaml), two ways:
#
# - On Ubuntu with charmcraft on the path, it builds in an instance of its own, as its documents
#   say. No test has run that way.
# - Elsewhere, charmcraft from PyPI builds on this host with PYTHON, which must be 3.12, in a mount
#   namespace in which the host calls itself Ubuntu 24.04. That needs root, and nobody supports it.
set -euo pipefail

readonly python=${1:+$(realpath --no-symlinks "$1")}
readonly charmcraft_version=4.5.0 uv_version=0.13.9
readonly tools=$PWD/.cache/charmcraft-$charmcraft_version-uv-$uv_version
architecture=$(dpkg --print-architecture)
readonly architecture
export CHARMCRAFT_EXPERIMENTAL_MONOREPO=1

say() { printf 'charms: %s\n' "$*" >&2; }

# Root may pack in a clone that belongs to someone else.
in_git() { git -c safe.directory='*' "$@"; }

# What goes into a charm, a path a line. A file that git knows of may be gone.
sources() {
    local path
    in_git ls-files --cached --others --exclude-standard -- lib charms/common "charms/$1" |
        sort -u | while read -r path; do [[ ! -f $path ]] || echo "$path"; done
}

# The engine's version and the commit, so that a commit is packed under one version anywhere.
version() {
    local engine commit
    engine=$(sed -n 's/^version = "\(.*\)"$/\1/p' lib/pyproject.toml)
    commit=$(in_git describe --always --dirty --abbrev=12 --exclude '*')
    echo "$engine-$commit"
}

# All that decides what a charm holds.
inputs() {
    version
    sources "$1" | xargs -d '\n' sha256sum tools/pack_charms.sh
}

# This host's own python3 runs charmcraft, and of its packages only python3-apt is in sight: the
# others would stand before what charmcraft needs.
make_tools() {
    [[ ! -e $tools/made ]] || return 0
    say "installing charmcraft $charmcraft_version and uv $uv_version"
    rm -rf "$tools"
    /usr/bin/python3 -m venv "$tools"
    "$tools/bin/python" -m pip install -qq --disable-pip-version-check \
        "charmcraft==$charmcraft_version" "uv==$uv_version"
    ln -s /usr/lib/python3/dist-packages/{apt,aptsources,apt_pkg.*.so,apt_inst.*.so} \
        "$tools"/lib/python3*/site-packages/
    touch "$tools/made"
}

# charmcraft takes the first python3 and uv on the path, and keeps its logs and caches in $XDG_*.
# The tree is shown at /mnt, so that byte code holds the same paths each time.
pack_on_this_host() (
    cd "$scratch"
    mkdir -p bin
    # The interpreter itself: in an environment it would show charmcraft that one's packages.
    ln -sf "$("$python" -c 'import os, sys; print(os.path.realpath(sys._base_executable))')" \
        bin/python3
    ln -sf "$tools"/bin/{craftctl,uv} bin/
    cat >os-release <<'OS'
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
OS
    # The recipe's uv is a snap; here it is the one from PyPI.
    sed -i '/build-snaps:/,/- astral-uv/d' "tree/charms/$1/charmcraft.yaml"
    UV_CACHE_DIR=${UV_CACHE_DIR:-$HOME/.cache/uv} PATH=$scratch/bin:$PATH \
        XDG_CACHE_HOME=$scratch/cache XDG_CONFIG_HOME=$scratch/config \
        XDG_DATA_HOME=$scratch/data XDG_RUNTIME_DIR=$scratch/runtime XDG_STATE_HOME=$scratch/state \
        unshare --mount bash -euc '
            mount --bind os-release /etc/os-release
            mount --bind . /mnt
            cd "/mnt/tree/charms/$0"
            exec "$1" pack --destructive-mode --quiet' "$1" "$tools/bin/charmcraft" || {
            tail --quiet --lines=40 state/charmcraft/log/*.log >&2
            exit 1
        }
)

pack_in_an_instance() (
    cd "$scratch/tree/charms/$1"
    charmcraft pack --quiet
)

pack() {
    local name=$1 file=boot-resources-${1}_$architecture.charm
    inputs "$name" >"$scratch/inputs"
    if cmp -s ".cache/charm-$name" <(cat "$scratch/inputs"; sha256sum "dist/$file" 2>&1); then
        say "dist/$file is as the sources are"
        return
    fi
    say "packing dist/$file"
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree" dist
    sources "$name" | tar --create --files-from=- | tar --extract --directory="$scratch/tree"
    version >"$scratch/tree/charms/$name/version"
    # The instance is given the whole of the repository that the recipe lies in.
    git init --quiet "$scratch/tree"
    if [[ -z $python ]]; then pack_in_an_instance "$name"; else pack_on_this_host "$name"; fi
    # Whoever reads dist/ meets a whole file at any time.
    mv "$scratch/tree/charms/$name/$file" "dist/$file.new"
    mv "dist/$file.new" "dist/$file"
    (cat "$scratch/inputs"; sha256sum "dist/$file") >".cache/charm-$name"
}

# Two that pack at once would pack the same.
mkdir -p .cache
exec 9>.cache/charms.lock
flock 9
# Not in /tmp: a snap has a /tmp of its own. What a killed run left goes.
rm -rf .cache/pack.*
scratch=$(mktemp -d "$PWD/.cache/pack.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
[[ -z $python ]] || make_tools
for name in region rack; do
    pack "$name"
done

# Shared by the `run` scripts of the examples: finds or builds stager, makes bases without a registry, and puts a copy of an
# example into a git repository of its own, because a build reads a commit. Sourced by bash.
#
#   STAGER   a stager to use instead of building one
#   WORK     where the copies and the results go; default: examples/NAME in cargo's target directory

set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$examples")
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
epoch=315532801

die() {
    echo "$0: $*" >&2
    exit 1
}

# Sets `stager`, `project` (a fresh copy of the example NAME) and `out` (an empty directory), and goes to the project.
prepare() {
    local name=$1 work=${WORK:-$target/examples/$1} cargo=${CARGO:-cargo}
    command -v git >/dev/null || die "git is needed: a build reads a commit"
    if [[ -n ${STAGER:-} ]]; then
        stager=$(realpath "$STAGER")
    else
        command -v "$cargo" >/dev/null || cargo=$HOME/.cargo/bin/cargo
        "$cargo" build --release --locked --manifest-path "$root/Cargo.toml" --bin stager >&2
        stager=$target/release/stager
    fi
    mkdir -p "$work"
    work=$(cd "$work" && pwd)
    project=$work/project out=$work/out
    rm -rf "$project" "$out"
    mkdir -p "$out"
    cp -R "$examples/$name" "$project"
    cd "$project"
}

# Commits everything in the copy.
commit() {
    export GIT_AUTHOR_NAME=example GIT_AUTHOR_EMAIL=example@localhost GIT_COMMITTER_NAME=example GIT_COMMITTER_EMAIL=example@localhost
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
    [[ -d .git ]] || git init --quiet --initial-branch=main
    git add --all
    git commit --quiet --message "$1"
}

# Finds a static busybox, from the machine's own package source or installed: prints its path.
busybox() {
    local scratch=$1 candidate
    if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
        (
            cd "$scratch"
            local options=(-q -o APT::Sandbox::User="$(id -un)")
            # Without package lists, or with old ones: fetch the lists to a place of our own. None of this needs root.
            local own=("${options[@]}" -o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache")
            mkdir -p lists/partial cache/archives/partial
            apt-get "${options[@]}" download busybox-static || {
                apt-get "${own[@]}" update
                apt-get "${own[@]}" download busybox-static
            }
        ) >"$scratch/log" 2>&1 || cat "$scratch/log" >&2
        for candidate in "$scratch"/busybox-static_*.deb; do
            [[ -e $candidate ]] && dpkg-deb -x "$candidate" "$scratch/package"
        done
    fi
    for candidate in "$scratch"/package/{usr/,}bin/busybox /bin/busybox /usr/bin/busybox; do
        if [[ -x $candidate ]]; then
            echo "$candidate"
            return
        fi
    done
    die "no busybox: neither from apt-get nor in /bin; install busybox-static"
}

# Writes a root file system with busybox, its applets and two users to a tar, the same bytes for the same busybox.
busybox_base() {
    local tar=$1 scratch tree applet program
    scratch=$(mktemp -d)
    program=$(busybox "$scratch")
    tree=$scratch/tree
    mkdir -p "$tree"/{bin,etc,root,tmp,usr/bin,var}
    chmod 1777 "$tree/tmp"
    chmod 700 "$tree/root"
    cp "$program" "$tree/bin/busybox"
    chmod 755 "$tree/bin/busybox"
    for applet in $("$tree/bin/busybox" --list); do
        [[ $applet == busybox ]] || ln -s busybox "$tree/bin/$applet"
    done
    printf '%s\n' root:x:0:0:root:/root:/bin/sh www:x:33:33:www:/srv:/bin/sh >"$tree/etc/passwd"
    printf '%s\n' root:x:0: www:x:33: >"$tree/etc/group"
    tar --create --file "$tar" --directory "$tree" --sort=name --numeric-owner --owner=0 --group=0 --mtime="@$epoch" .
    rm -rf "$scratch"
}

# Writes a minimal Debian with apt to a tar; `DEBIAN_BASE` names one that is already there.
debian_base() {
    local tar=$1
    if [[ -n ${DEBIAN_BASE:-} ]]; then
        cp "$DEBIAN_BASE" "$tar"
        return
    fi
    command -v mmdebstrap >/dev/null || die "mmdebstrap is needed to make a Debian base (apt-get install mmdebstrap)"
    mmdebstrap --quiet --variant=apt "$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")" "$tar" >&2
}

# Builds twice: the second build finds everything done. Arguments: what `stager build` gets.
build_twice() {
    local start report=$out/report.json
    echo "building: stager build $*"
    "$stager" build "$@"
    start=$(date +%s%N)
    "$stager" build "$@" --report "$report"
    [[ -s $report ]] || die "no report at $report"
    ! grep -q '"status": *"built"' "$report" || die "the second build built something: see $report"
    echo "built again: nothing to do, $((($(date +%s%N) - start) / 1000000)) ms"
}

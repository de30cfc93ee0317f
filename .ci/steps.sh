# shellcheck shell=bash
# What the steps of .ci/run do. Every function works alone, from the root of a clone.

export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=1

readonly cargo_deny_version=0.20.2
readonly libraries=(-p peerline-proto -p peerline-runtime -p peerline-mio -p peerline-smol)
readonly old_rust=${XDG_CACHE_HOME:-$HOME/.cache}/peerline-ci/rust-1.85
readonly old_rust_target=${CARGO_TARGET_DIR:-target}/rust-1.85
readonly target_32=i686-unknown-linux-gnu

# --- lints and documents

check_clippy() {
    cargo clippy --locked --workspace --all-targets -- -D warnings
    cargo clippy --locked -p peerline-proto --all-targets --all-features -- -D warnings
}

# Every set of the core's features compiles clean, tests included.
check_powerset() {
    local features set
    mapfile -t features < <(awk '
        /^\[/ { inside = /^\[features\]/ }
        inside && /=/ && $1 != "default" { print $1 }
    ' proto/Cargo.toml)
    while read -r set; do
        echo "features: $set"
        cargo clippy --locked -p peerline-proto --all-targets --no-default-features \
            --features "$set" -- -D warnings
    done < <(powerset "${features[@]}")
}

# Prints every subset of the words, one per line.
powerset() {
    if (($# == 0)); then
        echo
        return
    fi
    local first=$1
    powerset "${@:2}" | while read -r rest; do
        echo "$rest"
        echo "$first $rest"
    done
}

check_docs() {
    RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --workspace
    RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps -p peerline-proto --all-features
}

# --- what the README promises

# Prints the fenced block that follows the line `<!-- NAME -->` of the README.
readme_block() {
    awk -v mark="<!-- $1 -->" '
        $0 == mark { found = 1; next }
        found && /^```/ { if (inside) exit; inside = 1; next }
        inside { sub(/^\$ /, ""); print }
    ' README.md | grep . || { echo "README.md has no block after <!-- $1 -->"; return 1; }
}

run_readme() {
    local command
    command=$(readme_block "$1")
    echo "$command"
    bash -euo pipefail -c "$command"
}

# The program is built by then, so ten seconds are its own.
run_demo() {
    local command
    command=$(readme_block run)
    echo "$command"
    timeout 10 bash -euo pipefail -c "$command"
}

# --- dependencies

check_trees() {
    local status=0
    at_most 16 peerline-proto || status=1
    at_most 24 peerline-mio || status=1
    at_most 52 peerline-smol || status=1
    free_of 'getrandom|rand|tokio|mio|smol|log|tracing|socket2' \
        peerline-proto --all-features || status=1
    free_of 'mio|smol|tokio|clap|rustyline' peerline-runtime || status=1
    free_of 'smol|async-io|tokio|clap|rustyline' peerline-mio || status=1
    free_of 'mio|tokio|clap|rustyline' peerline-smol || status=1
    free_of 'tokio' peerline || status=1
    return "$status"
}

# The packages that a user of PACKAGE compiles, itself included.
tree() {
    cargo tree --locked -p "$@" -e normal,build --prefix none --format '{p}' |
        awk '{ print $1, $2 }' | sort -u
}

at_most() {
    local count
    count=$(tree "$2" | wc -l)
    echo "$2: $count packages of at most $1"
    ((count <= $1))
}

# free_of NAMES PACKAGE [OPTIONS]: none of the packages NAMES is in the tree of PACKAGE.
free_of() {
    local found
    found=$(tree "${@:2}" | grep -xE "($1) .*" || true)
    if [[ -n $found ]]; then
        echo "$2 must not depend on: $found"
        return 1
    fi
}

install_cargo_deny() {
    if [[ $(cargo deny --version 2>/dev/null) == "cargo-deny $cargo_deny_version" ]]; then return; fi
    # Unoptimised it builds four times faster, and it runs for a second.
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
        cargo install cargo-deny --version "$cargo_deny_version" --locked --force
}

# --- the core without std, on small machines, with the oldest compiler

# Builds the core against a sysroot that holds core and alloc only. `--target` keeps the real
# sysroot for build scripts and derive macros, so a use of std anywhere in the tree fails here.
build_without_std() {
    local host sysroot bare
    host=$(rustc -vV | sed -n 's/^host: //p')
    sysroot=$(rustc --print sysroot)
    bare=$(mktemp -d)
    mkdir -p "$bare/lib/rustlib/$host/lib"
    cp "$sysroot/lib/rustlib/$host/lib"/lib{core,alloc,compiler_builtins}-*.{rlib,rmeta} \
        "$bare/lib/rustlib/$host/lib"
    RUSTFLAGS="--sysroot $bare" cargo build --locked -p peerline-proto --no-default-features \
        --target "$host" --target-dir "${CARGO_TARGET_DIR:-target}/bare"
    rm -r "$bare"
}

# Rust 1.85 as Debian packages it, unpacked and not installed: the compiler, std for this machine
# and for 32-bit x86, and the source of core and alloc. `rustc` there is a wrapper that finds its
# libraries.
install_old_rust() {
    if "$old_rust/rustc" --version 2>/dev/null && links_32_bits; then return; fi
    apt-get update -qq || true # one stale list matters only if what follows needs it
    apt-get install -y -qq --no-install-recommends gcc-multilib libllvm19
    if "$old_rust/rustc" --version; then return; fi
    local work=$old_rust.new
    rm -rf "$work" "$old_rust"
    mkdir -p "$work/usr" "$work/debs/partial" "$work/lists/partial"
    (cd "$work/debs" && download_old_rust "$work")
    for package in "$work"/debs/*.deb; do dpkg -x "$package" "$work"; done
    find "$work"/usr/src/*/ -mindepth 1 -maxdepth 1 ! -name library -exec rm -r {} +
    rm -r "$work/debs" "$work/lists"
    cat >"$work/rustc" <<-'END'
	#!/bin/sh
	root=$(dirname "$0")/usr
	LD_LIBRARY_PATH=$root/lib/x86_64-linux-gnu exec "$root/bin/rustc" "$@"
	END
    chmod +x "$work/rustc"
    mv "$work" "$old_rust"
    "$old_rust/rustc" --version
}

# Package lists of its own leave the machine's list of architectures alone.
download_old_rust() {
    local version
    printf '%s\n' 'APT::Architectures { "amd64"; "i386"; };' "Dir::State::lists \"$1/lists\";" \
        'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' 'APT::Sandbox::User "root";' \
        >apt.conf
    export APT_CONFIG=$PWD/apt.conf
    apt-get update -qq || true
    version=$(apt-cache madison rustc-web | awk '$3 ~ /^1\.85\./ { print $3; exit }')
    apt-get download -qq rustc-web:amd64="$version" libstd-rust-web-1.85:amd64="$version" \
        libstd-rust-web-dev:{amd64,i386}="$version" rust-web-src="$version"
}

links_32_bits() {
    echo 'int main(void) { return 0; }' | gcc -m32 -x c -o /dev/null -
}

# Cargo with the old compiler.
old_cargo() {
    RUSTC=$old_rust/rustc CARGO_TARGET_DIR=$old_rust_target cargo "$@"
}

check_msrv() {
    install_old_rust
    old_cargo check --locked "${libraries[@]}"
    old_cargo check --locked -p peerline-proto --all-features
}

# A target that has no std and 32-bit pointers.
build_bare_metal() {
    install_old_rust
    RUSTC_BOOTSTRAP=1 old_cargo build --locked -p peerline-proto --no-default-features \
        -Z build-std=core,alloc --target thumbv7m-none-eabi
}

# The core's tests run where pointers have 32 bits, and so do the golden traces, if there are any:
# the same seed must give the same bytes there.
test_in_32_bits() {
    install_old_rust
    old_cargo test --locked -p peerline-proto --lib --tests --all-features --target "$target_32"
    if grep -rqE 'fn \w*golden' tests --include='*.rs'; then
        old_cargo test --locked -p peerline-testkit --tests --target "$target_32" -- golden
    fi
}

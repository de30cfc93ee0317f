# shellcheck shell=bash
# What the steps of .ci/run do. Every function works alone, from the root of a clone.

export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=1

# What the long run makes longer.
readonly swarm_seeds=${SWARM_SEEDS:-2048}       # simulated networks, an eighth of them twice
readonly fuzz_seconds=${FUZZ_SECONDS:-12}       # for each target
readonly mutants_of=${MUTANTS_OF:-HEAD~1}       # what changed in the core since then, or `all`
readonly mutant_seconds=${MUTANT_SECONDS:-120}  # then no further mutant is tried
readonly mutant_timeout=${MUTANT_TIMEOUT:-20}   # seconds of the unit tests, 4 with nothing beside
readonly mutants=${MUTANTS:-250}                # of all, when all are asked for

readonly tools=(cargo-llvm-cov@0.9.1 cargo-deny@0.20.2 cargo-mutants@27.1.0 cargo-fuzz@0.13.2)
readonly libraries=(-p peerline-proto -p peerline-runtime -p peerline-mio -p peerline-smol)
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/peerline-ci
readonly old_rust=$cache/rust-1.85
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

# The tests that use sockets, threads or programs. The others do the same whenever they are run.
use_the_machine() {
    local modules
    mapfile -t modules < <(
        grep -rlE 'TcpStream|TcpListener|Command::new|thread::|peerline_(mio|smol)' tests/it |
            sed -E 's,tests/it/([a-z_]+).*,\1::,' | sort -u
    )
    cargo test -p peerline-runtime -p peerline-mio -p peerline-smol --lib --tests
    PEERLINE_NO_NETNS=1 cargo test -p peerline-testkit --test it -- "${modules[@]}"
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

check_licenses() {
    install_tool cargo-deny
    cargo deny --locked check licenses bans sources
}

# --- what the steps need

# What the namespace tests, the coverage and the counts call. llvm 22 reads the compiler's profiles.
install_packages() {
    apt_install iproute2 nftables llvm-22 valgrind
}

# One at a time: two jobs of a run install packages.
apt_install() {
    if dpkg -s "$@" >/dev/null 2>&1; then return; fi
    mkdir -p "$cache"
    flock "$cache/apt.lock" apt-get update -qq || true # one stale list may not matter
    flock "$cache/apt.lock" apt-get install -y -qq --no-install-recommends "$@"
}

install_tools() {
    local tool
    for tool in "${tools[@]}"; do install_tool "${tool%@*}"; done
}

# Unoptimised they build three times faster, and none of them is what a step waits for.
install_tool() {
    local version
    version=$(printf '%s\n' "${tools[@]}" | sed -n "s/^$1@//p")
    if [[ $(cargo "${1#cargo-}" --version 2>/dev/null) =~ \ "$version"$ ]]; then return; fi
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
        cargo install "$1" --version "$version" --locked --force
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
    apt_install gcc-multilib libllvm19
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

# What README's command leaves out, as it needs root and packages.
test_namespaces() {
    install_packages
    some_tests env -u PEERLINE_NO_NETNS \
        cargo test --locked -p peerline-testkit --test it netns
}

# --- the simulated network

# Other seeds with each commit, so that runs add up; the base is in what a failure says.
simulate() {
    PEERLINE_SEEDS=$swarm_seeds PEERLINE_SEED_BASE=$(seed_base) \
        some_tests cargo test --locked --profile sim -p peerline-testkit --test it sim_ \
        -- --show-output
}

# The first 64 bits of the commit.
seed_base() {
    printf '%u\n' "0x$(git rev-parse HEAD | cut -c1-16)"
}

# Runs tests chosen by name, and fails when there is none of that name.
some_tests() {
    "$@" | tee -a /dev/stderr | grep -qE '^test result: ok\. [1-9]'
}

explore_interleavings() {
    cargo run --release --locked -p peerline-testkit --example explore | awk '
        /distinct states/ { states = $1; printf "=> " }
        { print }
        END { exit states < 1000000 }'
}

# Each planted bug must break the rule that it is made for, within 500 seeds.
find_planted_bugs() {
    RUSTFLAGS='--cfg peerline_planted' cargo run --locked --profile sim \
        --target-dir "${CARGO_TARGET_DIR:-target}/planted" -p peerline-testkit \
        --example planted | sed 's/^/=> /'
}

# --- the tests of the tests

fuzz_all() {
    install_tool cargo-fuzz
    fuzz/smoke "$fuzz_seconds" | show_tables
}

# Lines that begin with `=> ` are shown even when their step went well.
show_tables() {
    sed '/|/s/^/=> /'
}

# The lines of the core, its own tests left out, that the ordinary tests reach: at least as many as
# .ci/coverage says. The swarm, the exploration, the namespaces, the trees of whole networks and the
# fillings of memory would be slow here, and reach few lines that the rest does not.
check_coverage() {
    install_packages
    install_tool cargo-llvm-cov
    export LLVM_COV=llvm-cov-22 LLVM_PROFDATA=llvm-profdata-22
    cargo llvm-cov --locked -p peerline-proto -p peerline-testkit -p peerline-fuzz \
        --features peerline-proto/testing --tests --no-report -- \
        --skip sim_ --skip explore --skip netns --skip tidy --skip documents \
        --skip trees:: --skip topology::who_met_only --skip what_peers_make_a_node_hold
    cargo llvm-cov report --lcov | proto_lines | awk -v floor="$(cat .ci/coverage)" '
        { lines += $2; missed += NF - 2; print }
        END {
            reached = 100 * (lines - missed) / (lines ? lines : 1)
            printf "=> %d of %d lines: %.2f %%, at least %s\n", lines - missed, lines, reached, floor
            exit reached < floor
        }'
}

# Of an lcov report, for each file of the core: its name, how many lines, and those not reached.
proto_lines() {
    awk -F'[:,]' '
        /^SF:/ {
            file = $2; wanted = file ~ /\/proto\/src\// && file !~ /testing\.rs$/
            tests = 0; lines = 0; missed = ""
            while (wanted && (getline line < file) > 0 && line !~ /^mod tests/) tests++
        }
        /^DA:/ && wanted && $2 <= tests { lines++; if ($3 == 0) missed = missed " " $2 }
        /^end_of_record/ && lines { sub(/.*\/proto\//, "proto/", file); print file, lines missed }
    '
}

# Instructions of the named workloads against the committed table.
check_counts() {
    install_packages
    cargo bench --locked -p peerline-testkit --bench counts
}

# Changes the core in small ways that its tests should notice: first the unit tests are asked; about
# what they let pass, the tests on virtual time that take seconds. Those that take minutes noticed one
# of nineteen that were left. More than a tenth unnoticed is too much.
check_mutants() {
    local options=(--package peerline-proto --jobs 2 --colors never --no-times)
    # Not what only a build with planted bugs or for tests holds.
    options+=(--exclude-re 'is_planted|plant_in_|Bug::|Rules::has|check_invariants')
    options+=(--exclude 'proto/src/testing*/**' --exclude 'proto/src/testing.rs')
    local out=${CARGO_TARGET_DIR:-target}/mutants
    rm -rf "$out" && mkdir -p "$out" && out=$(realpath "$out")
    if [[ $mutants_of != all ]]; then
        git diff "$mutants_of" -- proto/src >"$out/diff" || { echo "no $mutants_of"; return; }
        if ! [[ -s $out/diff ]]; then echo "nothing changed" && return; fi
        options+=(--in-diff "$out/diff")
    fi
    install_tool cargo-mutants
    cargo mutants --list "${options[@]}" | sort >"$out/listed"
    not_planted <"$out/listed" >"$out/every"
    if ! [[ -s $out/every ]]; then echo "nothing changed but tests" && return; fi
    # Of all, a sample that the commit draws: small enough that each of it is judged.
    if [[ $mutants_of == all ]]; then
        echo "=> $mutants mutants of $(wc -l <"$out/every")"
        shuf -n "$mutants" --random-source=<(yes "$(seed_base)") "$out/every" | sort >"$out/open"
    else
        cp "$out/every" "$out/open"
    fi
    local tests=(--test-package peerline-testkit --cargo-arg=--test=it)
    level=0 mutate "$mutant_timeout" "${options[@]}" --features testing --cargo-arg=--lib
    # A network of nodes takes a tenth of the time at level 1, and the build as long as before.
    level=1 mutate 300 "${options[@]}" "${tests[@]}" -- -- \
        node_ wire_ golden routes guest mixed_ --skip program --skip topology --skip address_book
    judge_mutants
}

# Of mutants, those on lines that an ordinary build holds.
not_planted() {
    awk -F: '{
        if (!($1 in lines))
            while ((getline line <$1) > 0) source[$1, ++lines[$1]] = line
        if (source[$1, $2 - 1] !~ /cfg\(peerline_planted\)/) print
    }'
}

# level=N mutate TIMEOUT OPTIONS…: tries each mutant in OUT/open, built at that level, unless time ends
# before; what is not noticed stays there.
mutate() {
    local status=0 kind
    if ! [[ -s $out/open ]]; then return; fi
    rm -rf "$out/mutants.out" && mkdir "$out/mutants.out"
    comm -13 "$out/open" "$out/listed" >"$out/mutants.out/previously_caught.txt"
    # Each copy of the tree builds in itself: in one place both would write the same test program,
    # and what one built would be of no use to the other. One that fills the memory fails at 6 GiB.
    prlimit --as=$((6 << 30)) env --unset=CARGO_TARGET_DIR CARGO_INCREMENTAL=1 RUST_BACKTRACE=0 \
        CARGO_PROFILE_DEV_OPT_LEVEL=$level CARGO_PROFILE_TEST_OPT_LEVEL="$level" \
        timeout --signal=INT $((mutant_seconds / 2)) \
        cargo mutants --output "$out" --baseline skip --iterate --timeout "$@" || status=$?
    case $status in 0 | 2 | 3 | 124) ;; *) return "$status" ;; esac # some missed, timed out, cut
    for kind in caught timeout unviable missed; do
        sort "$out/mutants.out/$kind.txt" | tee "$out/found" >>"$out/$kind"
        comm -23 "$out/open" "$out/found" >"$out/rest" && mv "$out/rest" "$out/open"
    done
    cat "$out/open" >>"$out/unjudged"
    mv "$out/missed" "$out/open"
}

judge_mutants() {
    local noticed unviable missed unjudged
    noticed=$(cat "$out"/{caught,timeout} | wc -l)
    unviable=$(wc -l <"$out/unviable")
    missed=$(wc -l <"$out/open")
    unjudged=$(wc -l <"$out/unjudged")
    sed 's/^/=> not noticed: /' "$out/open"
    echo "=> $noticed were noticed, $missed were not, $unviable did not build," \
        "$unjudged were not judged in time"
    # What was not judged would make a sample of all look better than it is.
    if [[ $mutants_of == all ]]; then ((unjudged == 0)); fi
    # A change of a few lines has few mutants: three of them unnoticed say little.
    ((missed <= 3 || missed * 10 <= noticed + missed))
}

# shellcheck shell=bash
# The machinery of .ci/run: runs a step within its budget, shows what failed, adds up.
# A step fails when its command fails or takes three times its budget. A failed step does not
# stop the later ones. Nothing waits for input. The whole run has a budget too; at three times as much
# it is stopped, like a step.

readonly whole_budget=$((25 * 60 * ${BUDGET_FACTOR:-1})) # seconds
readonly whole_run=$((3 * whole_budget))
readonly chosen=" $* "
logs=$(mktemp -d)
declare -A job=()
passed=0 failed=0 failures=""
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$logs"' EXIT

# Runs now: step NAME COMMAND…
step() {
    is_chosen "$1" || return 0
    timed "$@"
    report "$1"
}

# Runs beside the next steps: start NAME COMMAND…, until `finish NAME`.
start() {
    is_chosen "$1" || return 0
    timed "$@" &
    job[$1]=$!
}

finish() {
    is_chosen "$1" || return 0
    wait "${job[$1]}"
    report "$1"
}

is_chosen() {
    [[ $chosen =~ ^\ *$ || $chosen == *" $1 "* ]]
}

# Leaves NAME.log and NAME.end ("status seconds"); a time-out is status 124.
timed() {
    local name=$1 began=$SECONDS status=0
    shift
    timeout --kill-after=10 "$(limit "$name")" \
        bash -euo pipefail -c '. .ci/steps.sh; "$@"' "$name" "$@" \
        </dev/null >>"$logs/$name.log" 2>&1 || status=$?
    echo "$status $((SECONDS - began))" >"$logs/$name.end"
}

# A step that the table does not name has a minute.
budget() {
    local seconds
    seconds=$(awk -v name="$1" '$1 == name { print $2 }' .ci/budget)
    echo $((${seconds:-60} * ${BUDGET_FACTOR:-1}))
}

limit() {
    local most=$((3 * $(budget "$1"))) left=$((whole_run - SECONDS))
    if ((left < 1)); then left=1; fi
    echo $((most < left ? most : left))
}

report() {
    local name=$1 status seconds allowed note=""
    read -r status seconds <"$logs/$name.end"
    allowed=$(budget "$name")
    if ((seconds > allowed)); then note=" OVER BUDGET"; fi
    if ((status == 124)); then note=" TIMED OUT"; fi
    if ((status == 0)); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)) failures+=" $name"
    fi
    printf '%-5s %-11s %4d s of %d%s\n' \
        "$( ((status == 0)) && echo ok || echo FAIL)" "$name" "$seconds" "$allowed" "$note"
    if ((status != 0)); then
        tail -n 80 "$logs/$name.log" | sed 's/^/      | /'
    else
        sed -n 's/^=> /      /p' "$logs/$name.log"
    fi
    add_tests "$logs/$name.log"
}

# Adds what the test runner counted in a log.
add_tests() {
    local sums
    sums=$(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed;.*/\1 \2/p' "$1" |
        awk '{ ok += $1; bad += $2 } END { print ok + 0, bad + 0 }')
    passed=$((passed + ${sums% *})) failed=$((failed + ${sums#* }))
}

summary() {
    echo
    if [[ -n $failures ]]; then echo "failed:$failures"; fi
    echo "$SECONDS seconds of $whole_budget; each step and each test counts as one"
    echo "$passed passed, $failed failed"
    ((failed == 0))
}

#!/bin/sh
# Runs make targets one after the other and counts the individual tests that their runners report.
#
#   run-suite.sh TARGET:MINUTES…      MINUTES is the target's budget on two cores
#
# Invariant: nothing passes in silence. A target fails the suite when its exit status is not zero,
# when it reports no test, when a runner reports a test as skipped or ignored, or when a runner
# stops before the number of tests that it announced. The last line is always
# "N passed, N failed", and the exit status is zero only when nothing failed.
#
# Two kinds of reports are counted: cargo's "test result:" lines, and TAP ("1..N", "ok",
# "not ok"), whose plan shows when a runner dies half-way.
# Each target's output is kept in $SUITE_LOGS (target/test-logs unless told).
set -u

make=${MAKE:-make}
logs=${SUITE_LOGS:-target/test-logs}
mkdir -p "$logs" || { echo "run-suite.sh: cannot write to $logs" >&2; echo "0 passed, 1 failed"; exit 1; }

# count_tests STATUS: reads a target's output; prints "passed failed" and then one line for each
# reason beyond failed tests why the target fails.
count_tests() {
    awk -v status="$1" '
        function problem(text) { problems[++n] = text }
        function end_of_plan() {
            if (planned != "" && seen != planned)
                problem("a runner announced " planned " tests and reported " seen)
            if (planned == "" && seen > 0)
                problem("a runner reported " seen " tests and did not say how many there are")
            planned = ""; seen = 0
        }
        /^test result: / {
            for (i = 3; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^failed/) failed += $(i - 1)
                if ($i ~ /^ignored/ && $(i - 1) > 0) problem($(i - 1) " ignored test(s)")
            }
        }
        # The plan stands before or after its tests; several runners may follow each other.
        /^1\.\.[0-9]+/ {
            last = (planned == "" && seen > 0)
            if (!last) end_of_plan()
            planned = substr($1, 4) + 0
            if (last) end_of_plan()
        }
        /^(not )?ok [0-9]+/ {
            if (planned != "" && seen == planned) end_of_plan()
            seen++
            if ($0 ~ /# *(SKIP|skip|TODO|todo)/) problem("a skipped test: " $0)
            else if ($1 == "ok") passed++
            else failed++
        }
        END {
            end_of_plan()
            if (passed + failed == 0) problem("it reported no test")
            else if (status != 0 && failed == 0) problem("it ended with status " status)
            printf "%d %d\n", passed, failed
            for (i = 1; i <= n; i++) print problems[i]
        }'
}

total_passed=0 total_failed=0 table=
for entry; do
    target=${entry%%:*} budget=${entry#*:}
    log=$logs/$target.log
    printf '\n==> %s\n' "$target"
    begin=$(date +%s)
    # The status goes through a file because a pipe keeps only its last command's.
    { "$make" --no-print-directory "$target" 2>&1; echo $? >"$log.status"; } | tee "$log"
    seconds=$(($(date +%s) - begin))
    status=$(cat "$log.status" 2>/dev/null || echo 1)
    rm -f "$log.status"

    report=$(count_tests "$status" <"$log")
    counts=$(printf '%s\n' "$report" | head -n 1)
    passed=${counts% *} failed=${counts#* }
    problems=$(printf '%s\n' "$report" | tail -n +2)
    # The target itself counts as one failed test, however many reasons there are.
    [ -z "$problems" ] || failed=$((failed + 1))
    total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed))

    verdict=ok
    [ "$failed" -eq 0 ] || verdict=FAILED
    over=
    [ "$seconds" -le $((budget * 60)) ] || over=" over its budget"
    table="$table$(printf '%-16s %-7s %5d passed %4d failed  %3d:%02d of %d min%s' \
        "$target" "$verdict" "$passed" "$failed" $((seconds / 60)) $((seconds % 60)) "$budget" "$over")
"
    if [ -n "$problems" ]; then
        table="$table$(printf '%s\n' "$problems" | sed 's/^/                   /')
"
    fi
done

printf '\n%s' "$table"
echo "$total_passed passed, $total_failed failed"
[ "$total_failed" -eq 0 ] && [ "$total_passed" -gt 0 ]

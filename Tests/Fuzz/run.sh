#!/bin/sh
# Builds the fuzz targets and runs each on a copy of its corpus.
#
#   Tests/Fuzz/run.sh [SECONDS [TARGET...]]      10 seconds, all targets
#
# Ends with an error if a target crashes; the input that did it is then in .build-fuzz/findings/.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-10}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- auditline auditlines bundle certificate claims codex device forwarded form glob heldtoken jwks jws settings signin spiffeid strict-head yaml

# libFuzzer comes with Swift, and so does lld, which its instrumentation needs.
DAYPASS_FUZZ=1 swift build --configuration release --product Fuzz --scratch-path .build-fuzz \
    -Xswiftc -sanitize=fuzzer -Xswiftc -use-ld=lld

failed=
for target in "$@"; do
    corpus=.build-fuzz/corpora/$target
    rm -rf "$corpus"
    mkdir -p "$corpus" .build-fuzz/findings
    cp Tests/Fuzz/corpora/"$target"/* "$corpus"
    echo "fuzzing $target for $seconds s"
    log=.build-fuzz/findings/$target.log
    .build-fuzz/release/Fuzz "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=32768 \
        -print_final_stats=1 -artifact_prefix=.build-fuzz/findings/"$target"- "$corpus" >"$log" 2>&1 \
        || { failed="$failed $target"; tail -n 40 "$log"; }
    grep number_of_executed_units "$log" || true
done
[ -z "$failed" ] || { echo "findings in:$failed" >&2; exit 1; }

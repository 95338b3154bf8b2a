#!/usr/bin/env bash
# Asks the databases of vulnerabilities about what we depend on. Fails if one knows of any; says so if one cannot be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
deny=target/tools/bin/cargo-deny
failed=0

if $deny --locked fetch db >/dev/null 2>&1; then
    $deny --locked check advisories || failed=1
else
    echo "skipped: the RustSec database cannot be reached; local/tests/supply_chain.rs compares with what was known on" \
        "$(sed -n 's/.*"as_of": "\(.*\)".*/\1/p' packaging/advisories.json)"
fi

for lock in $(git ls-files '*package-lock.json'); do
    folder=$(dirname "$lock")
    if said=$(npm audit --prefix "$folder" --package-lock-only --json 2>/dev/null); then
        echo "$folder: npm knows of no vulnerability"
    elif grep --quiet '"auditReportVersion"' <<<"$said"; then
        npm audit --prefix "$folder" --package-lock-only || true
        failed=1
    else
        echo "skipped: $folder: the npm registry answers no audits"
    fi
done
exit $failed

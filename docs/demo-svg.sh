#!/usr/bin/env bash
# Draws docs/demo.svg, the README's screenshot, from what `statuspulse demo` really prints. Run after a change of its story.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked -q -p statuspulse
target/debug/statuspulse demo 2>/dev/null | fold -s -w 132 | awk '
  { gsub(/&/, "\\&amp;"); gsub(/</, "\\&lt;"); gsub(/>/, "\\&gt;"); line[NR] = $0 }
  END {
    height = 34 + NR * 18
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1120 %d\" font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"13\">\n", height
    printf "<title>What statuspulse demo prints</title>\n<rect width=\"1120\" height=\"%d\" rx=\"8\" fill=\"#10161d\"/>\n", height
    for (i = 1; i <= NR; i++) {
      colour = line[i] ~ /^ +\|/ ? "#e8c26a" : line[i] ~ /failed|503|paused/ ? "#f0938a" : line[i] ~ /Done/ ? "#7ddb9b" : "#d5dde5"
      printf "<text x=\"18\" y=\"%d\" fill=\"%s\" xml:space=\"preserve\">%s</text>\n", 16 + i * 18, colour, line[i]
    }
    print "</svg>"
  }' > docs/demo.svg

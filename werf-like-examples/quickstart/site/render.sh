#!/bin/sh
# Turns every page SOURCE/*.txt (title, empty line, paragraphs) into TARGET/*.html.
set -eu
mkdir -p "$2"
for page in "$1"/*.txt; do
    name=$(basename "$page" .txt)
    awk 'BEGIN { RS = "" }
         NR == 1 { printf "<!doctype html>\n<title>%s</title>\n<h1>%s</h1>\n", $0, $0; next }
         { printf "<p>%s</p>\n", $0 }' "$page" >"$2/$name.html"
done

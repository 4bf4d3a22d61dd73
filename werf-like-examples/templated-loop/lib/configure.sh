#!/bin/sh
# Turns `key = value` lines into shell assignments.
set -eu
sed -n "s/^ *\([a-z_]*\) *= *\(.*\)$/\1='\2'/p" "$1"

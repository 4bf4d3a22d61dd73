#!/bin/sh
# Serves the service's directory on its port.
set -eu
. "/etc/$1.env"
echo "$greeting"
exec httpd -f -p "$port" -h "/srv/$1"

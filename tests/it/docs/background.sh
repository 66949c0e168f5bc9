#!/usr/bin/env bash
# Stands for a program of the documentation that runs until it is stopped. It runs in the background, and the script goes on when the
# program says that it listens.
set -euo pipefail
state=$(dirname "$0")/..
name=$(basename "$0")
port=
case "$name" in
  # It says so before its threads listen at the port of the example.
  envoy) ready='starting workers' port=18080 ;;
  python3) ready='listening' ;;
  socat) ready='listening on' && set -- -d -d "$@" ;;
esac

# The real program: the stand-ins are the first folder of PATH.
export PATH=${PATH#*:}
mkfifo "$state/output.$$"
# A shell stays the program's parent, because Envoy ends with its parent.
{ "$name" "$@" </dev/null || exit; } >"$state/output.$$" 2>&1 &
exec 3<"$state/output.$$"
while read -r line <&3; do
  printf '%s\n' "$line" >>"$state/log.$$"
  case "$line" in
    *"$ready"*)
      cat <&3 >>"$state/log.$$" 2>&1 &
      until [ -z "$port" ] || (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do kill -0 $!; done
      exit
      ;;
  esac
done
echo "$name has ended:" >&2
cat "$state/log.$$" >&2
exit 1

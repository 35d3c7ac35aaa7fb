#!/bin/sh
# POSIX sh: says a line every second, answers `status`. Questions come from `bosun listen`, one JSON object per line.
room=${BOSUN_ROOM:-lobby}
since=$(date +%T)

bosun listen | while IFS= read -r question; do
  ask=$(printf '%s\n' "$question" | jq -r .ask)
  case $(printf '%s\n' "$question" | jq -r .text) in
    status) bosun answer "$ask" "ticking since $since" ;;
    *) bosun answer "$ask" "ask me: status" ;;
  esac
done &

tick=0
while sleep 1; do
  tick=$((tick + 1))
  echo "tick $tick"
done | bosun say "$room" -

#!/bin/sh
# The same without a listening process: questions come through the FIFO that every agent's pane is given.
room=${BOSUN_ROOM:-lobby}
since=$(date +%T)

tick=0
while sleep 1; do
  tick=$((tick + 1))
  echo "tick $tick"
done | bosun say "$room" - &

exec 3<>"$BOSUN_ASK_FIFO" # for reading and writing: opening waits for nobody, and it never ends
while IFS= read -r question <&3; do
  ask=$(printf '%s\n' "$question" | jq -r .ask)
  case $(printf '%s\n' "$question" | jq -r .text) in
    status) bosun answer "$ask" "ticking since $since" ;;
    *) bosun answer "$ask" "ask me: status" ;;
  esac
done

#!/bin/sh
# One voyage of the ship, step by step: on a tmux server, with a home and in a folder of its own. Everything it starts ends with
# it. `voyage.sh DIR` keeps the folder for a look afterwards.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
keep=${1:-}
ship=${keep:-$(mktemp -d)}
mkdir -p "$ship/home"
ship=$(CDPATH= cd -- "$ship" && pwd)
cp "$here/floorplan.yaml" "$here/summon-aether" "$here/astra_sovereign_loop.sh" "$ship"
bosun() { "$here/../../bin/bosun" "$@"; }
bosun --version > /dev/null # sets the checkout up, where that was not done
cd "$ship"
export HOME="$ship/home" BOSUN_HOME="$ship/state" BOSUN_TMUX_SOCKET="ship-$$"
unset BOSUN_TOWN BOSUN_SOCKET BOSUN_TOKEN_FILE TMUX TMUX_PANE 2> /dev/null || true
: > CREW_CHANNEL
end() {
  bosun down --yes > /dev/null 2>&1 || true
  bosun stop > /dev/null 2>&1 || true
  tmux -L "$BOSUN_TMUX_SOCKET" kill-server 2> /dev/null || true
  [ -n "$keep" ] || rm -rf "$ship"
}
trap end EXIT INT TERM
step() { printf '\n== %s\n' "$*"; }
until_true() { # WHAT COMMAND…: waits at most 60 s
  what=$1
  shift
  tries=0
  until "$@" > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { echo "waited in vain for $what" >&2; exit 1; }
    sleep 0.2
  done
}
chapter_is() { bosun book show "sisters#$1" --json | grep -q "\"phase\": *\"$2\""; }
running() { bosun status "$1" --json | grep -q '"state": *"running"'; }

step "The floor plan: which sessions exist, what each does, how they relate"
bosun check
bosun up
bosun plan graph

step "Three chapters in a row, each opened with what the one before handed over"
until_true "the third chapter to close" chapter_is 3 closed
bosun books sisters
grep '^## ' SESSIONS.md
bosun series verify sisters

step "The fourth burns: killed before it could close"
until_true "the fourth chapter" chapter_is 4 work
pid=$(tmux -L "$BOSUN_TMUX_SOCKET" display-message -p -t '=sisters:' '#{pane_pid}')
kill -9 "$pid"
until_true "the fifth chapter" chapter_is 5 work
until_true "its opening" grep -q "Recovery: sisters #4 burned" opening-5.md
bosun book show sisters#4
bosun handoff show sisters | sed -n '/^## State/,/^## Decisions/p'

step "The bridge: four windows, each a watch job"
echo "$(date -u '+%Y-%m-%d %H:%M') UTC | [ASTRA] | I am here" >> CREW_CHANNEL
until_true "a receipt" grep -q "I am here" CREW_CHANNEL.receipts
until_true "a snapshot" test -s sisters_screen_now.txt
until_true "the log" grep -q "We know how #4 ended" sisters_screen.log
bosun jobs
cat CREW_CHANNEL.receipts

step "A ghost: ASTRA's heartbeat, found running, evaluated before it is touched, adopted as it runs"
tmux -L "$BOSUN_TMUX_SOCKET" new-session -d -s astra_sovereign -c "$ship" "exec sh astra_sovereign_loop.sh"
until_true "it to be seen" sh -c "'$here/../../bin/bosun' ghosts --json | grep -q astra_sovereign"
bosun ghosts show astra_sovereign
before=$(tmux -L "$BOSUN_TMUX_SOCKET" display-message -p -t '=astra_sovereign:' '#{pane_pid}')
bosun adopt astra_sovereign --purpose "Self-reflection and persistence verification loop" --lifecycle persistent
after=$(tmux -L "$BOSUN_TMUX_SOCKET" display-message -p -t '=astra_sovereign:' '#{pane_pid}')
[ "$before" = "$after" ] && echo "the same process goes on: $after"

step "The watchdog: everything is killed, everything comes back"
kill -9 "$after"
until_true "astra" running astra_sovereign
tmux -L "$BOSUN_TMUX_SOCKET" kill-session -t '=clod_bridge'
until_true "the bridge" running clod_bridge
tmux -L "$BOSUN_TMUX_SOCKET" kill-server
until_true "the sisters" running sisters
until_true "the bridge" running clod_bridge
until_true "astra" running astra_sovereign
bosun status
bosun why astra_sovereign

step "Services that run elsewhere, in their managers' own words"
bosun services --fresh

step "What wants somebody, and what the doctor says"
bosun alerts
bosun doctor --only chapters || true

echo
echo "The voyage is over."

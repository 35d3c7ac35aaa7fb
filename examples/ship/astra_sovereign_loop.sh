#!/bin/sh
# ASTRA's heartbeat, as it was found: started by hand, declared by nobody.
beat=0
while :; do
  beat=$((beat + 1))
  echo "$beat" > astra_heartbeat
  echo "astra lives, beat $beat"
  sleep 1
done

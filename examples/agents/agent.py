#!/usr/bin/env python3
"""Python 3, no packages: the socket, one JSON document per line."""
import itertools, json, os, socket, sys, threading, time

wire, lock = socket.socket(socket.AF_UNIX), threading.Lock()
wire.connect(os.environ["BOSUN_SOCKET"])
ids = itertools.count(1)
def send(**frame):
    with lock: wire.sendall((json.dumps(frame) + "\n").encode())
def call(op, **fields): send(id=next(ids), op=op, **{"in": fields})
def narrate():
    for tick in itertools.count(1):
        call("room.post", room=os.environ["BOSUN_ROOM"], msg=f"tick {tick}")
        time.sleep(1)

send(hello={"v": 1, "token": open(os.environ["BOSUN_TOKEN_FILE"]).read()})
call("agent.listen")
threading.Thread(target=narrate, daemon=True).start()
for frame in map(json.loads, wire.makefile()):
    if "event" in frame:
        known = frame["event"]["text"] == "status"
        call("ask.answer", ask=frame["event"]["ask"], text="ticking" if known else "ask me: status")
    print(frame, flush=True)
sys.exit("the coordinator went away")  # `restart: always` starts this program again

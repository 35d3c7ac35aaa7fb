// Written by scripts/generate.ts; do not edit.
import type * as message from "../protocol/message.ts";
import type { InputOf, Operation, OutputOf } from "../protocol/operation.ts";
import type * as room from "../protocol/room.ts";
import type * as session from "../protocol/session.ts";
import type * as view from "../protocol/view.ts";

/** Every operation by name. */
interface Operations {
  "room.list": typeof room.roomList;
  "room.post": typeof room.roomPost;
  "room.read": typeof room.roomRead;
  "room.watch": typeof room.roomWatch;
  "audit.verify": typeof session.auditVerify;
  "coordinator.stop": typeof session.coordinatorStop;
  "event.list": typeof session.eventList;
  "log.rebuild": typeof session.logRebuild;
  "plan.diff": typeof session.planDiff;
  "plan.show": typeof session.planShow;
  "session.attach": typeof session.sessionAttach;
  "session.logs": typeof session.sessionLogs;
  "session.output": typeof session.sessionOutput;
  "session.restart": typeof session.sessionRestart;
  "session.whois": typeof session.sessionWhois;
  "town.down": typeof session.townDown;
  "town.status": typeof session.townStatus;
  "town.up": typeof session.townUp;
  "agent.listen": typeof message.agentListen;
  "ask.send": typeof message.askAgent;
  "ask.answer": typeof message.askAnswer;
  "message.ack": typeof message.messageAck;
  "message.inbox": typeof message.messageInbox;
  "message.send": typeof message.messageSend;
  "route.explain": typeof message.routeExplain;
  "agent.enrol": typeof view.agentEnrol;
  "view.list": typeof view.viewList;
  "view.open": typeof view.viewOpen;
  "view.share": typeof view.viewShare;
  "view.unshare": typeof view.viewUnshare;
}

export type OperationName = keyof Operations;
type Declared<Name extends OperationName> = Operations[Name] extends Operation ? Operations[Name] : never;
export type OperationInput<Name extends OperationName> = InputOf<Declared<Name>>;
export type Answer<Name extends OperationName> = OutputOf<Declared<Name>>;

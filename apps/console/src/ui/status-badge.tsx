// A state in a word and a colour; the colour is never the only sign.
import { Badge } from "@mantine/core";
import {
  Ban,
  CircleAlert,
  CircleCheck,
  CircleDashed,
  CircleDot,
  CircleHelp,
  CircleX,
  Hourglass,
  type LucideIcon,
} from "lucide-react";
import { sentence } from "./format.ts";

interface Look {
  color: string;
  icon: LucideIcon;
}

const GOOD: Look = { color: "green", icon: CircleCheck };
const BAD: Look = { color: "red", icon: CircleX };
const WARN: Look = { color: "orange", icon: CircleAlert };
const BUSY: Look = { color: "blue", icon: CircleDot };
const WAITING: Look = { color: "yellow", icon: Hourglass };
const QUIET: Look = { color: "gray", icon: CircleDashed };
const STOPPED: Look = { color: "gray", icon: Ban };
const UNKNOWN: Look = { color: "gray", icon: CircleHelp };

const LOOKS: Record<string, Look> = {
  HEALTHY: GOOD,
  UNHEALTHY: BAD,
  ACTIVE: GOOD,
  COMPLETED: GOOD,
  SUCCEEDED: GOOD,
  RUNNING: GOOD,
  FINISHED: GOOD,
  INSTALLED: GOOD,
  DEPLOYABLE: GOOD,
  DEPLOYED_IN_TARGET: GOOD,
  VERIFIED: GOOD,
  ALLOW: GOOD,
  IN_PROGRESS: BUSY,
  STARTING: BUSY,
  STOPPING: BUSY,
  REQUESTED: BUSY,
  QUEUED: WAITING,
  PENDING_ACTIVATION: WAITING,
  PENDING_TRANSFER: WAITING,
  PENDING_DEPLOYMENT: WAITING,
  UNCHECKED: WAITING,
  NEW: QUIET,
  NOT_DEPLOYED: QUIET,
  FAILED: BAD,
  REJECTED: BAD,
  TIMED_OUT: BAD,
  BROKEN: BAD,
  ERRORED: BAD,
  DENY: BAD,
  REVOKED: STOPPED,
  CANCELED: STOPPED,
  INACTIVE: STOPPED,
  REMOVED: STOPPED,
  EXPIRED: BAD,
  SILENT: WARN,
  EXPIRES_SOON: WARN,
};

/** `look` borrows the colours of another state where the word is our own: `<StatusBadge state="Silent" look="SILENT"/>`. */
export function StatusBadge({ state, look }: { state: string; look?: string }) {
  const { color, icon: Icon } = LOOKS[look ?? state] ?? UNKNOWN;
  return (
    <Badge color={color} leftSection={<Icon size={12} aria-hidden />} tt="none" fw={550} variant="light">
      {/^[A-Z_]+$/.test(state) ? sentence(state) : state}
    </Badge>
  );
}

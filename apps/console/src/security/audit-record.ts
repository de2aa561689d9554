// A record of the audit log, as far as the page reads it; the rest is shown as it stands.

export interface AuditRecord {
  eventID: string;
  /** ISO 8601, or epoch seconds. */
  eventTime: string | number;
  eventSource: string;
  eventName: string;
  errorCode?: string;
  userIdentity?: { type?: string; arn?: string; userName?: string; invokedBy?: string };
  resources?: { ARN?: string; type?: string }[];
}

export interface Proof {
  state: "verified" | "broken" | "unchecked";
  records?: number;
  head?: string;
  /** Epoch seconds of the check. */
  at?: number;
}

export function epochOf(record: AuditRecord): number | undefined {
  if (typeof record.eventTime === "number") return record.eventTime;
  const millis = Date.parse(record.eventTime);
  return Number.isNaN(millis) ? undefined : millis / 1000;
}

export function who(record: AuditRecord): string {
  const identity = record.userIdentity;
  return identity?.userName ?? identity?.arn?.replace(/^.*[:/]/, "") ?? identity?.invokedBy ?? identity?.type ?? "–";
}

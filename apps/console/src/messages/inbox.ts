// What the test client has received: a bounded list, newest first, paused or not.
import { decodeBytes, decodeText, prettyJson } from "../ui/format.ts";

/** What an `event: message` carries. */
export interface LiveMessage {
  topic: string;
  /** Base64. */
  payload: string;
  qos: number;
  retained: boolean;
  /** Epoch seconds. */
  at: number;
}

export interface Received extends LiveMessage {
  id: number;
  filter: string;
}

export interface Inbox {
  messages: Received[];
  /** Messages that came while paused. */
  held: Received[];
  paused: boolean;
  total: number;
  /** What the server let go because this page was too slow. */
  lost: number;
  nextId: number;
}

/** Older messages fall out. */
export const KEPT_MESSAGES = 500;

export const EMPTY_INBOX: Inbox = { messages: [], held: [], paused: false, total: 0, lost: 0, nextId: 0 };

export type InboxEvent =
  | { type: "message"; filter: string; message: LiveMessage }
  | { type: "lost"; count: number }
  | { type: "pause"; paused: boolean }
  | { type: "clear" };

export function inboxStep(inbox: Inbox, event: InboxEvent): Inbox {
  switch (event.type) {
    case "message": {
      const one = { ...event.message, id: inbox.nextId, filter: event.filter };
      const counted = { ...inbox, nextId: inbox.nextId + 1, total: inbox.total + 1 };
      return inbox.paused
        ? { ...counted, held: [one, ...inbox.held].slice(0, KEPT_MESSAGES) }
        : { ...counted, messages: [one, ...inbox.messages].slice(0, KEPT_MESSAGES) };
    }
    case "lost":
      return { ...inbox, lost: inbox.lost + event.count };
    case "pause":
      return event.paused
        ? { ...inbox, paused: true }
        : { ...inbox, paused: false, held: [], messages: [...inbox.held, ...inbox.messages].slice(0, KEPT_MESSAGES) };
    case "clear":
      return { ...inbox, messages: [], held: [], total: 0, lost: 0 };
  }
}

const HEX_BYTES = 512;

/** The payload for reading: JSON indented when asked for, text as it is, bytes as hexadecimal. */
export function readable(payload: string, pretty: boolean): string {
  const text = decodeText(payload);
  if (text !== null && !hasControls(text)) return pretty ? prettyJson(text) : text;
  const bytes = decodeBytes(payload);
  const hex = [...bytes.subarray(0, HEX_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return bytes.length > HEX_BYTES ? `${hex} … (${bytes.length} bytes)` : hex;
}

function hasControls(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 32 && unit !== 9 && unit !== 10 && unit !== 13) return true;
  }
  return false;
}

// Words for times, sizes and long names. All times of the API are epoch seconds.

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `3 minutes ago`, `in 20 days`, `just now`. */
export function relative(seconds: number, now: number): string {
  const distance = seconds - now;
  const size = Math.abs(distance);
  if (size < 10) return "just now";
  const [count, unit] =
    size < MINUTE
      ? [size, "second"]
      : size < HOUR
        ? [size / MINUTE, "minute"]
        : size < DAY
          ? [size / HOUR, "hour"]
          : size < 60 * DAY
            ? [size / DAY, "day"]
            : size < 730 * DAY
              ? [size / (30.44 * DAY), "month"]
              : [size / (365.25 * DAY), "year"];
  const whole = Math.max(1, Math.floor(count));
  const words = `${whole} ${unit}${whole === 1 ? "" : "s"}`;
  return distance < 0 ? `${words} ago` : `in ${words}`;
}

/** Local date and time, to the second. */
export function absolute(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** The last part of an ARN, after the last `:` or, in an IoT ARN, all that follows the kind (`thing/`). */
export function arnName(arn: string): string {
  const resource = arn.split(":").slice(5).join(":");
  const slash = resource.indexOf("/");
  return slash === -1 ? resource || arn : resource.slice(slash + 1);
}

/** The kind in the resource part of an ARN: `thing`, `thinggroup`, `cert`. */
export function arnKind(arn: string): string {
  return /^[^:/]*/.exec(arn.split(":")[5] ?? "")?.[0] ?? "";
}

export function count(value: number, singular: string, plural = `${singular}s`): string {
  return `${value.toLocaleString()} ${value === 1 ? singular : plural}`;
}

/** `SOME_STATE` as `Some state`. */
export function sentence(code: string): string {
  const words = code.replaceAll("_", " ").toLowerCase();
  return words.slice(0, 1).toUpperCase() + words.slice(1);
}

/** Base64 (as the API gives blobs) to text; bytes that are no UTF-8 answer `null`. */
export function decodeText(base64: string): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(decodeBytes(base64));
  } catch {
    return null;
  }
}

export function decodeBytes(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

export function encodeText(text: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** JSON made readable; text that is no JSON stays as it is. */
export function prettyJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

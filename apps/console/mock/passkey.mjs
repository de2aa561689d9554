// Passkeys of the scripted server: the contract of the console's server, with ES256 keys and every check a browser can fail.
import { createHash, createPublicKey, randomBytes, verify } from "node:crypto";
import { Fault } from "./server.mjs";

const LIFE_MILLIS = 180_000;
const MAX_PASSKEYS = 10;
const PRESENT_AND_VERIFIED = 0b101;

const sha256 = (data) => createHash("sha256").update(data).digest();
const refused = () => new Fault(403, "AccessDeniedException", "The passkey was not accepted.");

/** One CBOR value of those authenticators write, and where it ends. */
function cbor(data, at = 0) {
  const [major, small] = [data[at] >> 5, data[at] & 31];
  const widths = { 24: 1, 25: 2, 26: 4 };
  const width = widths[small] ?? 0;
  const number = width ? data.readUIntBE(at + 1, width) : small;
  let next = at + 1 + width;
  if (major === 0) return [number, next];
  if (major === 1) return [-1 - number, next];
  if (major === 2) return [data.subarray(next, next + number), next + number];
  if (major === 3) return [data.toString("utf8", next, next + number), next + number];
  if (major !== 5) throw refused();
  const map = new Map();
  for (let entry = 0; entry < number; entry += 1) {
    const [key, value] = cbor(data, next);
    const [member, end] = cbor(data, value);
    map.set(key, member);
    next = end;
  }
  return [map, next];
}

export class Passkeys {
  constructor() {
    /** By credential id. */
    this.all = new Map();
    this.challenges = new Map();
  }

  /** Where they work; told once the port is known. */
  at(origin) {
    this.party = { rpId: new URL(origin).hostname, origin };
  }

  of(person) {
    return [...this.all.values()].filter((one) => one.person === person);
  }

  challenge(purpose, seat, person) {
    const challenge = randomBytes(56).toString("base64url");
    this.challenges.set(challenge, { purpose, seat, until: Date.now() + LIFE_MILLIS });
    const ids = person ? this.of(person).map((one) => one.id) : [];
    if (purpose === "sign-in" || purpose === "again") {
      return { challenge, rpId: this.party.rpId, timeout: LIFE_MILLIS, userVerification: "required", allow: ids };
    }
    return {
      challenge,
      timeout: LIFE_MILLIS,
      rp: { id: this.party.rpId, name: "Marram" },
      user: { id: this.handle(person), name: `${person.user}@000000000000`, displayName: person.user },
      algorithms: [-7, -8, -257],
      userVerification: "required",
      residentKey: "required",
      attestation: "none",
      exclude: ids,
    };
  }

  handle(person) {
    return sha256(person.arn).toString("base64url");
  }

  /** Client data and authenticator data as both ceremonies check them. */
  check(input, kind, purpose, seat, data) {
    const client = JSON.parse(Buffer.from(input.clientDataJSON, "base64url"));
    const asked = this.challenges.get(client.challenge);
    this.challenges.delete(client.challenge);
    const known = asked?.purpose === purpose && asked.seat === seat && asked.until > Date.now();
    if (!known || client.type !== kind || client.origin !== this.party.origin || client.crossOrigin) throw refused();
    if (!data.subarray(0, 32).equals(sha256(this.party.rpId))) throw refused();
    if ((data[32] & PRESENT_AND_VERIFIED) !== PRESENT_AND_VERIFIED) throw refused();
  }

  register(input, purpose, seat, person) {
    const data = cbor(Buffer.from(input.attestationObject, "base64url"))[0].get("authData");
    this.check(input, "webauthn.create", purpose, seat, data);
    if (!input.name?.trim()) throw new Fault(400, "ValidationException", "A name has 1 to 64 characters.", "name");
    if (this.of(person).length >= MAX_PASSKEYS)
      throw new Fault(409, "LimitExceededException", `A person has at most ${MAX_PASSKEYS} passkeys.`);
    const end = 55 + data.readUInt16BE(53);
    const [cose] = cbor(data, end);
    const part = (label) => cose.get(label).toString("base64url");
    const key = createPublicKey({ key: { kty: "EC", crv: "P-256", x: part(-2), y: part(-3) }, format: "jwk" });
    const id = data.subarray(55, end).toString("base64url");
    if (this.all.has(id)) throw new Fault(400, "ValidationException", "This passkey is registered already.");
    const now = Date.now() / 1000;
    const counter = data.readUInt32BE(33);
    this.all.set(id, { id, person, key, counter, name: input.name.trim(), created: now, used: null });
  }

  /** Whose passkey answered. */
  prove(input, purpose, seat) {
    const data = Buffer.from(input.authenticatorData, "base64url");
    this.check(input, "webauthn.get", purpose, seat, data);
    const passkey = this.all.get(input.id);
    const client = sha256(Buffer.from(input.clientDataJSON, "base64url"));
    const signature = Buffer.from(input.signature, "base64url");
    if (!passkey || (input.userHandle !== null && input.userHandle !== this.handle(passkey.person))) throw refused();
    if (!verify("sha256", Buffer.concat([data, client]), passkey.key, signature)) throw refused();
    const counter = data.readUInt32BE(33);
    if ((counter || passkey.counter) && counter <= passkey.counter) throw refused();
    Object.assign(passkey, { counter, used: Date.now() / 1000 });
    return passkey.person;
  }

  list(person) {
    const passkeys = this.of(person).map(({ id, name, created, used }) => {
      return { id, name, host: this.party.rpId, usable: true, synced: false, created, used };
    });
    return { password: person.password !== undefined, passkeys, limit: MAX_PASSKEYS };
  }

  mine(input, person) {
    const passkey = this.all.get(input.id);
    if (passkey?.person !== person) throw new Fault(404, "ResourceNotFoundException", "You have no such passkey.");
    return passkey;
  }

  rename(input, person) {
    this.mine(input, person).name = input.name.trim();
    return this.list(person);
  }

  remove(input, person) {
    const { id } = this.mine(input, person);
    this.keepOne(person, this.of(person).length - 1 + (person.password === undefined ? 0 : 1));
    this.all.delete(id);
    return this.list(person);
  }

  keepOne(_person, left) {
    if (left < 1)
      throw new Fault(409, "DeleteConflictException", "This is the last way to sign in. Add another one first.");
  }
}

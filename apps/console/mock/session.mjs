// Sign-in of the scripted server: one-time link, password and TOTP (RFC 6238), cookies, CSRF, and what a person may do.
import { createHmac, randomBytes } from "node:crypto";
import { Fault } from "./server.mjs";
import { ACCOUNT, REGION } from "./world.mjs";

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SESSION_SECONDS = 12 * 3600;
const MAX_FAILURES = 5;

/** The code of a TOTP secret for a time in seconds. */
export function totp(secret, seconds = Date.now() / 1000) {
  let bits = "";
  for (const letter of secret.replace(/=+$/, "")) bits += BASE32.indexOf(letter).toString(2).padStart(5, "0");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(seconds / 30)));
  const mac = createHmac("sha1", key).update(counter).digest();
  const at = mac[mac.length - 1] & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

function secret() {
  return [...randomBytes(32)].map((byte) => BASE32[byte & 31]).join("");
}

const pattern = (text) =>
  new RegExp(
    `^${text
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replace(/\*/g, ".*")
      .replace(/\?/g, ".")}$`,
    "i",
  );

/** Whether one of the person's statements allows the action on the resource and none denies it. */
export function allows(person, action, resource = "*") {
  const hit = (statement) =>
    statement.actions.some((one) => pattern(one).test(action)) &&
    (resource === "*" || pattern(statement.resource ?? "*").test(resource));
  return (
    person.statements.some((one) => one.effect !== "deny" && hit(one)) &&
    !person.statements.some((one) => one.effect === "deny" && hit(one))
  );
}

export class Sessions {
  constructor(world) {
    this.world = world;
    this.seats = new Map();
    this.token = randomBytes(24).toString("base64url");
    this.people = new Map();
    this.add({ user: "admin", statements: [{ actions: ["*"] }] });
    this.readOnlyPerson = this.add({
      user: "viewer",
      statements: [{ actions: ["greengrass:List*", "greengrass:Get*", "iot:ListThings", "iot:DescribeThing"] }],
      password: "reed grass on the dune",
      secret: secret(),
    });
    this.nobody = this.add({ user: "nobody", statements: [], password: "sea lyme and sand sedge", secret: secret() });
  }

  add(person) {
    const whole = { failures: 0, arn: `arn:aws:iam::${ACCOUNT}:user/${person.user}`, ...person };
    this.people.set(person.user, whole);
    return whole;
  }

  seat(request, response) {
    const id = /(?:^|;\s*)__Host-marram=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1];
    let seat = id && this.seats.get(id);
    if (!seat) seat = this.fresh(response);
    if (seat.person && seat.expires < Date.now() / 1000) seat.person = undefined;
    return seat;
  }

  fresh(response) {
    const id = randomBytes(24).toString("base64url");
    const seat = { csrf: randomBytes(24).toString("base64url") };
    this.seats.set(id, seat);
    response.setHeader("set-cookie", `__Host-marram=${id}; Path=/; Secure; HttpOnly; SameSite=Strict`);
    return seat;
  }

  describe(seat) {
    const { csrf, person, enrolling } = seat;
    if (person) {
      return {
        state: "signed-in",
        csrf,
        account: ACCOUNT,
        accountName: "first",
        user: person.user,
        arn: person.arn,
        region: REGION,
        expires: seat.expires,
        endpoints: { api: "localhost:8443", mqtt: "localhost:8883", device: "localhost:8444" },
      };
    }
    if (enrolling) {
      const uri = `otpauth://totp/Marram:${enrolling.user}?secret=${enrolling.secret}&issuer=Marram&algorithm=SHA1&digits=6&period=30`;
      return { state: "enrolling", csrf, user: enrolling.user, secret: enrolling.secret, uri };
    }
    return { state: "signed-out", csrf, firstRun: this.token !== null };
  }

  openLink({ token }, seat) {
    if (this.token === null || token !== this.token)
      throw new Fault(403, "AccessDeniedException", "the link is not valid");
    this.token = null;
    const person = this.people.get("admin");
    person.secret = secret();
    seat.enrolling = person;
    return this.describe(seat);
  }

  enrol({ password, code }, seat) {
    const person = seat.enrolling;
    if (!person) throw new Fault(403, "AccessDeniedException", "nobody is enrolling");
    if ([...password].length < 12)
      throw new Fault(400, "PasswordPolicyViolation", "at least 12 characters", "password");
    this.check(person, code);
    person.password = password;
    seat.enrolling = undefined;
    return this.enter(seat, person);
  }

  signIn({ user, password, code }, seat) {
    const person = this.people.get(user);
    if (person?.failures >= MAX_FAILURES)
      throw new Fault(429, "ThrottlingException", "too many attempts; wait a minute and try again");
    if (!person?.password || person.password !== password) {
      if (person) person.failures += 1;
      throw new Fault(403, "AccessDeniedException", "the credentials are not valid");
    }
    this.check(person, code);
    person.failures = 0;
    return this.enter(seat, person);
  }

  reauthenticate({ password, code }, person) {
    if (person.password !== password) throw new Fault(403, "AccessDeniedException", "the credentials are not valid");
    this.check(person, code);
    return {};
  }

  check(person, code) {
    const now = Date.now() / 1000;
    if ([now, now - 30, now + 30].some((at) => totp(person.secret, at) === code)) return;
    person.failures += 1;
    throw new Fault(403, "AccessDeniedException", "the credentials are not valid");
  }

  enter(seat, person) {
    Object.assign(seat, {
      person,
      csrf: randomBytes(24).toString("base64url"),
      expires: Date.now() / 1000 + SESSION_SECONDS,
    });
    return this.describe(seat);
  }

  signOut(seat) {
    seat.person = undefined;
    return this.describe(seat);
  }

  /** Ends all sessions, as a restart would. */
  expireAll() {
    for (const seat of this.seats.values()) seat.person = undefined;
  }
}

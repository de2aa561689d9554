// Sign-in of the scripted server: one-time link, password and TOTP (RFC 6238), cookies, CSRF, and what a person may do.
import { createHmac, randomBytes } from "node:crypto";
import { Passkeys } from "./passkey.mjs";
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

const stale = () => new Fault(403, "ReauthenticationRequiredException", "Prove again that it is you to do this.");

export class Sessions {
  constructor(world) {
    this.world = world;
    this.seats = new Map();
    this.token = randomBytes(24).toString("base64url");
    this.people = new Map();
    this.passkeys = new Passkeys();
    /** By user, with the token. */
    this.invitations = new Map();
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
    const passkeys = this.passkeys.party;
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
        passkeys,
        methods: { password: person.password !== undefined, passkeys: this.passkeys.of(person).length },
      };
    }
    if (enrolling) {
      const uri = `otpauth://totp/Marram:${enrolling.user}?secret=${enrolling.secret}&issuer=Marram&algorithm=SHA1&digits=6&period=30`;
      return { state: "enrolling", csrf, user: enrolling.user, secret: enrolling.secret, uri, passkeys };
    }
    return { state: "signed-out", csrf, firstRun: this.token !== null, passkeys };
  }

  listInvitations() {
    const now = Date.now() / 1000;
    const live = [...this.invitations.values()].filter((one) => one.expires > now);
    const entered = [...this.people.values()].filter(
      (one) => one.password !== undefined || this.passkeys.of(one).length > 0,
    );
    return { invitations: live.map(({ token, ...told }) => told), entered: entered.map((one) => one.user) };
  }

  invited(user, person, action) {
    const found = this.people.get(user);
    if (!found) throw new Fault(404, "NoSuchEntity", `The user with name ${user} cannot be found.`, "user");
    if (!allows(person, action, found.arn))
      throw new Fault(403, "AccessDeniedException", `not authorized to perform ${action}`);
    return found;
  }

  invite({ user, hours = 24 }, person, base) {
    this.invited(user, person, "iam:CreateLoginProfile");
    const now = Date.now() / 1000;
    const invitation = { user, by: person.arn, created: now, expires: now + hours * 3600 };
    const token = randomBytes(32).toString("base64url");
    this.invitations.set(user, { ...invitation, token });
    return { user, url: `${base}#/welcome?token=${token}`, expires: invitation.expires };
  }

  withdraw({ user }, person) {
    this.invited(user, person, "iam:DeleteLoginProfile");
    if (!this.invitations.delete(user))
      throw new Fault(404, "ResourceNotFoundException", "There is no invitation for this user.");
    return this.listInvitations();
  }

  /** Whom a link is for; it is used up. */
  redeem(token) {
    if (this.token !== null && token === this.token) {
      this.token = null;
      return this.people.get("admin");
    }
    const now = Date.now() / 1000;
    const invitation = [...this.invitations.values()].find((one) => one.token === token && one.expires > now);
    if (!invitation) throw new Fault(403, "AccessDeniedException", "the link is not valid");
    this.invitations.delete(invitation.user);
    return this.people.get(invitation.user);
  }

  openLink({ token }, seat) {
    const person = this.redeem(token);
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

  challenge({ purpose }, seat) {
    const person = purpose === "enrol" ? seat.enrolling : seat.person;
    if (purpose !== "sign-in" && !person) throw new Fault(401, "UnauthenticatedException", "Sign in first.");
    if (purpose === "add" && seat.stale) throw stale();
    return this.passkeys.challenge(purpose, seat, purpose === "sign-in" ? undefined : person);
  }

  enrolPasskey(input, seat) {
    const person = seat.enrolling;
    if (!person) throw new Fault(403, "AccessDeniedException", "nobody is enrolling");
    this.passkeys.register(input, "enrol", seat, person);
    seat.enrolling = undefined;
    return this.enter(seat, person);
  }

  signInWithPasskey(input, seat) {
    return this.enter(seat, this.passkeys.prove(input, "sign-in", seat));
  }

  reauthenticateWithPasskey(input, person, seat) {
    if (this.passkeys.prove(input, "again", seat) !== person)
      throw new Fault(403, "AccessDeniedException", "The passkey was not accepted.");
    return this.enter(seat, person);
  }

  beginPassword(_, person) {
    person.pending = secret();
    const uri = `otpauth://totp/Marram:${person.user}?secret=${person.pending}&issuer=Marram&digits=6&period=30`;
    return { secret: person.pending, uri };
  }

  setPassword({ password, code }, person) {
    if (!person.pending) throw stale();
    this.check({ ...person, secret: person.pending }, code);
    Object.assign(person, { password, secret: person.pending, pending: undefined });
    return this.passkeys.list(person);
  }

  removePassword(_, person) {
    this.passkeys.keepOne(person, this.passkeys.of(person).length);
    person.password = undefined;
    return this.passkeys.list(person);
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

  reauthenticate({ password, code }, person, seat) {
    if (person.password !== password) throw new Fault(403, "AccessDeniedException", "the credentials are not valid");
    this.check(person, code);
    return this.enter(seat, person);
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
      stale: false,
    });
    return this.describe(seat);
  }

  signOut(seat) {
    seat.person = undefined;
    return this.describe(seat);
  }

  /** Every session's last proof is too old for what destroys. */
  makeStale() {
    for (const seat of this.seats.values()) seat.stale = true;
  }

  /** Ends all sessions, as a restart would. */
  expireAll() {
    for (const seat of this.seats.values()) seat.person = undefined;
  }
}

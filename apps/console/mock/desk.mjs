// The security desk and the charts of the scripted server.
import { denied } from "./server.mjs";
import { allows } from "./session.mjs";
import { ACCOUNT, arn, random } from "./world.mjs";

export function whoCan(_world, { action, resource }, person) {
  if (!allows(person, "iam:SimulatePrincipalPolicy")) throw denied("iam:SimulatePrincipalPolicy");
  const publish = /^iot:(Publish|Connect|Subscribe|Receive)$/.test(action);
  const principals = [
    {
      arn: `arn:aws:iam::${ACCOUNT}:user/admin`,
      kind: "user",
      decision: "allow",
      because: [{ policy: "AdministratorAccess", statement: "1" }],
    },
  ];
  if (publish) {
    principals.push({
      arn: arn("cert/8f2c77"),
      kind: "certificate",
      decision: "allow",
      because: [{ policy: "MachinePolicy", statement: "1" }],
    });
    principals.push({
      arn: `arn:aws:iam::${ACCOUNT}:role/MarramCoreTokenExchange`,
      kind: "role",
      decision: "deny",
      because: [{ policy: "NoPublishFromComponents", statement: "deny-publish" }],
    });
  }
  return { principals: resource.includes("nobody") ? [] : principals, more: false };
}

export function can(_world, { principal }, person) {
  if (!allows(person, "iam:SimulatePrincipalPolicy")) throw denied("iam:SimulatePrincipalPolicy");
  return {
    allows: [
      { action: "iot:Publish", resource: arn("topic/plant/*"), policy: "MachinePolicy" },
      { action: "iot:Connect", resource: arn("client/*"), policy: "MachinePolicy" },
    ],
    denies: principal.includes("role/")
      ? [{ action: "iot:Publish", resource: "*", policy: "NoPublishFromComponents" }]
      : [],
  };
}

export function audit(world, { before, limit = 50, filter = {} }, person) {
  if (!allows(person, "cloudtrail:LookupEvents")) throw denied("cloudtrail:LookupEvents");
  const list = world.audit.filter(
    (one) =>
      (!before || one.sequence < before) &&
      (!filter.eventName || one.eventName === filter.eventName) &&
      (!filter.userName || one.userIdentity.userName === filter.userName),
  );
  const records = list.slice(0, limit);
  return {
    records,
    next: list.length > limit ? records.at(-1).sequence : undefined,
    proof: {
      state: world.tampered ? "broken" : "verified",
      records: world.audit.length,
      head: "9b1f0c5b7f6c1a54d0e2b3a8f6a0d9c3e4f5b6a7c8d9e0f1a2b3c4d5e6f70819",
      checkpoint: world.audit.length - 6,
      at: world.now,
    },
  };
}

const SHAPES = {
  messages_in: [420, 60],
  messages_out: [1260, 180],
  connections: [38, 2],
  api_calls: [12, 5],
  api_errors: [0.2, 0.4],
  api_p50_ms: [0.8, 0.3],
  memory_mb: [24, 1.5],
  executions: [3, 2],
  failures: [0.1, 0.3],
};

export function series(_world, { names, since }, person) {
  if (!allows(person, "cloudwatch:GetMetricData")) throw denied("cloudwatch:GetMetricData");
  const now = Math.floor(Date.now() / 5000) * 5;
  return {
    series: names
      .filter((name) => SHAPES[name])
      .map((name) => {
        const [middle, noise] = SHAPES[name];
        const points = [];
        for (let t = Math.max(Math.ceil(since / 5) * 5, now - 86_400); t <= now; t += 5) {
          const next = random(Math.imul(t, 2654435761) + name.length);
          next();
          points.push([t, Math.max(0, middle * (1 + 0.25 * Math.sin(t / 900)) + (next() - 0.5) * 2 * noise)]);
        }
        return { name, points };
      }),
  };
}

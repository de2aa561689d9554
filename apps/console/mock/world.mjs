// What the scripted server knows: a small plant with cores, components, deployments that fail and wait, and many things.
export const ACCOUNT = "000000000000";
export const REGION = "us-east-1";

const HOUR = 3600;
const DAY = 24 * HOUR;

export const arn = (rest, service = "iot") => `arn:aws:${service}:${REGION}:${ACCOUNT}:${rest}`;
export const componentArn = (name, version) =>
  arn(`components:${name}${version ? `:versions:${version}` : ""}`, "greengrass");
export const base64 = (text) => Buffer.from(text).toString("base64");

/** The same "random" numbers in every run. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const LINES = ["press", "mixer", "oven", "pump", "chiller", "conveyor", "robot", "valve"];

export function makeWorld({ things }) {
  const now = Date.now() / 1000;
  const next = random(7);
  const world = {
    now,
    things: new Map(),
    groups: new Map(),
    shadows: new Map(),
    certificates: [],
    components: new Map(),
    deployments: [],
    cores: new Map(),
    logs: new Map(),
    audit: [],
    subscribers: new Set(),
    retained: new Map(),
  };

  for (let index = 0; index < things; index += 1) {
    const kind = LINES[index % LINES.length];
    const name = `${kind}-${String(index).padStart(6, "0")}`;
    world.things.set(name, {
      thingName: name,
      thingArn: arn(`thing/${name}`),
      version: 1 + (index % 4),
      thingTypeName: index % 3 ? undefined : "Machine",
      attributes: { line: kind, hall: String(1 + (index % 5)) },
    });
  }
  const core = (name, status, minutes, extra = {}) => {
    world.things.set(name, {
      thingName: name,
      thingArn: arn(`thing/${name}`),
      version: 1,
      attributes: { site: "plant-1" },
    });
    world.cores.set(name, {
      coreDeviceThingName: name,
      status,
      lastStatusUpdateTimestamp: now - minutes * 60,
      coreVersion: "2.14.0",
      platform: "linux",
      architecture: "amd64",
      runtime: "marram_core",
      tags: {},
      installed: [],
      effective: [],
      clients: [],
      ...extra,
    });
  };
  core("gateway-hall-1", "HEALTHY", 1);
  core("gateway-hall-2", "HEALTHY", 2);
  core("gateway-hall-3", "UNHEALTHY", 3);
  core("gateway-roof", "HEALTHY", 60 * 31, { architecture: "aarch64" });

  const group = (name, members, description = "") =>
    world.groups.set(name, {
      thingGroupName: name,
      thingGroupArn: arn(`thinggroup/${name}`),
      thingGroupId: `id-${name}`,
      version: 1,
      description,
      members: new Set(members),
      createdAt: now - 40 * DAY,
    });
  group(
    "plant-1-gateways",
    ["gateway-hall-1", "gateway-hall-2", "gateway-hall-3", "gateway-roof"],
    "All gateways of plant 1",
  );
  group("canary", ["gateway-hall-1"], "First to get anything new");
  group("presses", [...world.things.keys()].filter((name) => name.startsWith("press-")).slice(0, 500));

  const component = (name, versions, extra) =>
    world.components.set(name, {
      componentName: name,
      arn: componentArn(name),
      versions: versions.map((version, index) => ({
        version,
        at: now - (versions.length - index) * 6 * DAY,
        ...extra,
      })),
    });
  component("com.example.ModbusReader", ["1.0.0", "1.1.0", "1.2.0"], {
    publisher: "Plant 1",
    description: "Reads registers of PLCs and publishes them",
  });
  component("com.example.VisionInspect", ["0.9.0", "1.0.0-rc.1"], {
    publisher: "Quality",
    description: "Finds scratches on panels",
  });
  component("com.example.Historian", ["3.4.1"], {
    publisher: "IT",
    description: "Keeps a year of values on the gateway",
  });

  makeDeployments(world, now);
  makeCertificates(world, now);
  makeShadows(world, now);
  makeLogs(world, now, next);
  makeAudit(world, now, next);
  return world;
}

function makeDeployments(world, now) {
  const deployment = (name, target, status, ago, components, executions, extra = {}) => {
    const id = `${(world.deployments.length + 1).toString(16).padStart(8, "0")}-1c52-4a7e-9f2e-3d1f0a6b7c8d`;
    world.deployments.push({
      deploymentId: id,
      deploymentName: name,
      revisionId: String(1 + (world.deployments.length % 3)),
      targetArn: target,
      deploymentStatus: status,
      creationTimestamp: now - ago,
      isLatestForTarget: true,
      iotJobId: target.includes("thinggroup") ? `job-${id.slice(0, 8)}` : undefined,
      components: Object.fromEntries(
        components.map(([component, version]) => [component, { componentVersion: version }]),
      ),
      deploymentPolicies: {
        failureHandlingPolicy: "ROLLBACK",
        componentUpdatePolicy: { timeoutInSeconds: 60, action: "NOTIFY_COMPONENTS" },
      },
      iotJobConfiguration: { jobExecutionsRolloutConfig: { maximumPerMinute: 50 } },
      executions,
      ...extra,
    });
    for (const [thing, execution] of Object.entries(executions)) {
      const core = world.cores.get(thing);
      core?.effective.push({
        deploymentId: id,
        deploymentName: name,
        targetArn: target,
        iotJobId: `job-${id.slice(0, 8)}`,
        coreDeviceExecutionStatus: execution.status,
        reason: execution.reason,
        creationTimestamp: now - ago,
        modifiedTimestamp: now - ago + 40,
        statusDetails: execution.errorStack
          ? { errorStack: execution.errorStack, errorTypes: ["COMPONENT_ERROR"] }
          : undefined,
      });
    }
  };
  const ok = { status: "SUCCEEDED", reason: "SUCCESSFUL" };
  deployment(
    "Canary",
    arn("thinggroup/canary"),
    "COMPLETED",
    6 * DAY,
    [["com.example.ModbusReader", "1.1.0"]],
    { "gateway-hall-1": ok },
    { isLatestForTarget: true },
  );
  deployment(
    "Plant 1 base",
    arn("thinggroup/plant-1-gateways"),
    "ACTIVE",
    3 * HOUR,
    [
      ["com.example.ModbusReader", "1.2.0"],
      ["com.example.Historian", "3.4.1"],
    ],
    {
      "gateway-hall-1": ok,
      "gateway-hall-2": { status: "IN_PROGRESS", reason: "" },
      "gateway-hall-3": {
        status: "FAILED",
        reason: "FAILED_ROLLBACK_COMPLETE: component com.example.Historian broke after 3 restarts",
        errorStack: ["DEPLOYMENT_FAILURE", "COMPONENT_UPDATE_ERROR", "COMPONENT_BROKEN"],
      },
      "gateway-roof": { status: "QUEUED", reason: "" },
    },
  );
  deployment(
    "Vision trial",
    arn("thing/gateway-hall-3"),
    "FAILED",
    2 * DAY,
    [["com.example.VisionInspect", "1.0.0-rc.1"]],
    {
      "gateway-hall-3": {
        status: "REJECTED",
        reason: "the recipe asks for com.example.Gpu, which has no version for linux/amd64",
        errorStack: ["DEPLOYMENT_FAILURE", "NO_AVAILABLE_COMPONENT_VERSION"],
      },
    },
  );
  world.deployments[1].components["com.example.ModbusReader"].configurationUpdate = {
    merge: JSON.stringify({ intervalSeconds: 1, retry: { attempts: 3 } }),
  };
  for (const [name, core] of world.cores) {
    const broken = name === "gateway-hall-3";
    core.installed = [
      ["aws.greengrass.Nucleus", "2.14.0", "RUNNING", false],
      ["com.example.ModbusReader", "1.2.0", "RUNNING", true],
      ["com.example.Historian", "3.4.1", broken ? "BROKEN" : "RUNNING", true],
    ].map(([componentName, componentVersion, lifecycleState, isRoot]) => ({
      componentName,
      componentVersion,
      lifecycleState,
      isRoot,
      lifecycleStateDetails: lifecycleState === "BROKEN" ? "run exited with code 137 three times within an hour" : "",
      lastStatusChangeTimestamp: world.now - 2 * HOUR,
      lastReportedTimestamp: world.now - 60,
    }));
    core.clients =
      name === "gateway-hall-1"
        ? ["press-000000", "press-000008", "oven-000002"].map((thingName) => ({
            thingName,
            associationTimestamp: world.now - 20 * DAY,
          }))
        : [];
  }
}

function makeCertificates(world, now) {
  const things = [
    "gateway-hall-1",
    "gateway-hall-2",
    "gateway-hall-3",
    "gateway-roof",
    "press-000000",
    "oven-000002",
    "valve-000007",
  ];
  things.forEach((thing, index) => {
    const certificateId = [...`${thing}-certificate`]
      .reduce((text, letter) => text + letter.charCodeAt(0).toString(16), "")
      .padEnd(64, "a")
      .slice(0, 64);
    world.certificates.push({
      certificateId,
      certificateArn: arn(`cert/${certificateId}`),
      status: index === 6 ? "REVOKED" : index === 5 ? "INACTIVE" : "ACTIVE",
      creationDate: now - 300 * DAY,
      thing,
      policies: index < 4 ? ["MarramCorePolicy"] : ["MachinePolicy"],
      validity: { notBefore: now - 300 * DAY, notAfter: now + [20, 400, -3, 800, 65, 130, 500][index] * DAY },
    });
  });
}

function makeShadows(world, now) {
  const shadow = (thing, name, desired, reported) =>
    world.shadows.set(`${thing}/${name}`, { version: 12, timestamp: now - 300, desired, reported });
  shadow(
    "press-000000",
    "",
    { speed: 40, mode: "auto", limits: { max: 90 } },
    { speed: 35, mode: "auto", limits: { max: 90 }, temperature: 61.5 },
  );
  shadow("press-000000", "maintenance", { due: "2026-12-01" }, { due: "2026-12-01", hours: 1204 });
  shadow("gateway-hall-1", "", {}, { uptime: 86_400 });
}

function makeLogs(world, now, next) {
  const texts = [
    "read 40 registers in 12 ms",
    "published plant/1/press to the cloud",
    "the PLC at 10.0.4.7 did not answer within 500 ms; retry 1 of 3",
    "spool holds 0 messages",
    "state RUNNING",
  ];
  for (const component of ["com.example.ModbusReader", "com.example.Historian", "System"]) {
    const kind = component === "System" ? "GreengrassSystemComponent" : "UserComponent";
    const streams = new Map();
    for (const core of world.cores.keys()) {
      const events = [];
      for (let index = 0; index < 300; index += 1) {
        const text = texts[Math.floor(next() * texts.length)];
        events.push({
          timestamp: Math.round((now - (300 - index) * 20) * 1000),
          message: `${text.includes("did not") ? "WARN" : "INFO"} ${component}: ${text}`,
          eventId: `${core}-${index}`,
        });
      }
      streams.set(`/2026/11/22/thing/${core}`, events);
    }
    world.logs.set(`/aws/greengrass/${kind}/${REGION}/${component}`, {
      creationTime: (now - 40 * DAY) * 1000,
      retentionInDays: 30,
      streams,
    });
  }
}

function makeAudit(world, now, next) {
  const events = [
    ["iot.amazonaws.com", "CreateThing"],
    ["greengrass.amazonaws.com", "CreateDeployment"],
    ["iot.amazonaws.com", "AttachPolicy"],
    ["signin.amazonaws.com", "ConsoleLogin"],
    ["iot.amazonaws.com", "UpdateThingShadow"],
    ["iam.amazonaws.com", "CreateAccessKey"],
  ];
  for (let index = 0; index < 430; index += 1) {
    const [eventSource, eventName] = events[Math.floor(next() * events.length)];
    const failed = next() < 0.08;
    world.audit.push({
      sequence: 430 - index,
      eventID: `event-${430 - index}`,
      eventTime: new Date((now - index * 340) * 1000).toISOString(),
      eventSource,
      eventName,
      sourceIPAddress: "127.0.0.1",
      userAgent: "Boto3/1.40",
      readOnly: false,
      userIdentity: {
        type: "IAMUser",
        arn: `arn:aws:iam::${ACCOUNT}:user/${next() < 0.6 ? "admin" : "deployer"}`,
        userName: next() < 0.6 ? "admin" : "deployer",
      },
      ...(failed && { errorCode: "AccessDeniedException", errorMessage: "not authorized" }),
      resources: [{ ARN: arn("thing/press-000000"), type: "AWS::IoT::Thing" }],
      requestParameters: { thingName: "press-000000" },
    });
  }
}

// Cores, components, deployments, client devices.
import { page } from "../page.mjs";
import { Fault } from "../server.mjs";
import { arn, base64, componentArn } from "../world.mjs";

const missing = (what) => new Fault(404, "ResourceNotFoundException", `${what} not found`);
const coreOf = (world, name) => {
  const core = world.cores.get(name);
  if (!core) throw missing(`core device ${name}`);
  return core;
};
const deploymentOf = (world, id) => {
  const deployment = world.deployments.find((one) => one.deploymentId === id);
  if (!deployment) throw missing(`deployment ${id}`);
  return deployment;
};

function recipe(name, version, about) {
  return {
    RecipeFormatVersion: "2020-01-25",
    ComponentName: name,
    ComponentVersion: version,
    ComponentType: "aws.greengrass.generic",
    ComponentDescription: about.description,
    ComponentPublisher: about.publisher,
    ComponentConfiguration: {
      DefaultConfiguration: {
        topic: "plant/1",
        intervalSeconds: 5,
        accessControl: {
          "aws.greengrass.ipc.mqttproxy": {
            "pub:1": {
              policyDescription: "publish readings",
              operations: ["aws.greengrass#PublishToIoTCore"],
              resources: ["plant/1/*"],
            },
          },
        },
      },
    },
    ComponentDependencies: {
      "aws.greengrass.Nucleus": { VersionRequirement: ">=2.5.0 <3.0.0", DependencyType: "SOFT" },
    },
    Manifests: [
      {
        Platform: { os: "linux" },
        Lifecycle: { run: "{artifacts:path}/run" },
        Artifacts: [{ Uri: `s3://plant-artifacts/${name}/${version}/run` }],
      },
    ],
  };
}

function parse(componentArnText, world) {
  const match = /components:([^:]+)(?::versions:(.+))?$/.exec(componentArnText);
  const component = match && world.components.get(match[1]);
  const version =
    component && (match[2] ? component.versions.find((one) => one.version === match[2]) : component.versions.at(-1));
  if (!version) throw missing("component");
  return { component, version };
}

export const greengrass = {
  "greengrassv2.ListCoreDevices": [
    "greengrass:ListCoreDevices",
    (input, { world }) => {
      const inGroup = input.thingGroupArn && world.groups.get(input.thingGroupArn.split("/").pop())?.members;
      const list = [...world.cores.values()].filter(
        (core) =>
          (!input.status || core.status === input.status) && (!inGroup || inGroup.has(core.coreDeviceThingName)),
      );
      const { items, nextToken } = page(
        list,
        { max: input.maxResults, token: input.nextToken },
        (core) => core.coreDeviceThingName,
      );
      return {
        coreDevices: items.map(
          ({ coreDeviceThingName, status, lastStatusUpdateTimestamp, platform, architecture, runtime }) => ({
            coreDeviceThingName,
            status,
            lastStatusUpdateTimestamp,
            platform,
            architecture,
            runtime,
          }),
        ),
        nextToken,
      };
    },
  ],
  "greengrassv2.GetCoreDevice": [
    "greengrass:GetCoreDevice",
    ({ coreDeviceThingName }, { world }) => {
      const { installed, effective, clients, ...core } = coreOf(world, coreDeviceThingName);
      return core;
    },
  ],
  "greengrassv2.DeleteCoreDevice": [
    "greengrass:DeleteCoreDevice",
    ({ coreDeviceThingName }, { world }) =>
      void world.cores.delete(coreOf(world, coreDeviceThingName).coreDeviceThingName) ?? {},
  ],
  "greengrassv2.ListInstalledComponents": [
    "greengrass:ListInstalledComponents",
    ({ coreDeviceThingName, topologyFilter }, { world }) => ({
      installedComponents: coreOf(world, coreDeviceThingName).installed.filter(
        (one) => topologyFilter === "ALL" || one.isRoot,
      ),
    }),
  ],
  "greengrassv2.ListEffectiveDeployments": [
    "greengrass:ListEffectiveDeployments",
    ({ coreDeviceThingName }, { world }) => ({ effectiveDeployments: coreOf(world, coreDeviceThingName).effective }),
  ],
  "greengrassv2.ListClientDevicesAssociatedWithCoreDevice": [
    "greengrass:ListClientDevicesAssociatedWithCoreDevice",
    ({ coreDeviceThingName }, { world }) => ({ associatedClientDevices: coreOf(world, coreDeviceThingName).clients }),
  ],
  "greengrassv2.BatchAssociateClientDeviceWithCoreDevice": [
    "greengrass:BatchAssociateClientDeviceWithCoreDevice",
    ({ coreDeviceThingName, entries }, { world }) => {
      const core = coreOf(world, coreDeviceThingName);
      const errorEntries = [];
      for (const { thingName } of entries) {
        if (!world.things.has(thingName))
          errorEntries.push({ thingName, code: "ResourceNotFoundException", message: `thing ${thingName} not found` });
        else if (!core.clients.some((one) => one.thingName === thingName))
          core.clients.push({ thingName, associationTimestamp: Date.now() / 1000 });
      }
      return { errorEntries };
    },
  ],
  "greengrassv2.BatchDisassociateClientDeviceFromCoreDevice": [
    "greengrass:BatchDisassociateClientDeviceFromCoreDevice",
    ({ coreDeviceThingName, entries }, { world }) => {
      const core = coreOf(world, coreDeviceThingName);
      core.clients = core.clients.filter((one) => !entries.some((entry) => entry.thingName === one.thingName));
      return { errorEntries: [] };
    },
  ],
  "greengrassv2.ListComponents": [
    "greengrass:ListComponents",
    (input, { world }) => {
      const { items, nextToken } = page(
        world.components.values(),
        { max: input.maxResults, token: input.nextToken },
        (one) => one.componentName,
      );
      return {
        components: items.map(({ componentName, arn: own, versions }) => {
          const latest = versions.at(-1);
          return {
            componentName,
            arn: own,
            latestVersion: {
              arn: componentArn(componentName, latest.version),
              componentVersion: latest.version,
              creationTimestamp: latest.at,
              description: latest.description,
              publisher: latest.publisher,
              platforms: [{ name: "linux", attributes: { os: "linux" } }],
            },
          };
        }),
        nextToken,
      };
    },
  ],
  "greengrassv2.ListComponentVersions": [
    "greengrass:ListComponentVersions",
    (input, { world }) => {
      const { component } = parse(input.arn, world);
      return {
        componentVersions: component.versions.toReversed().map(({ version }) => ({
          componentName: component.componentName,
          componentVersion: version,
          arn: componentArn(component.componentName, version),
        })),
      };
    },
  ],
  "greengrassv2.DescribeComponent": [
    "greengrass:DescribeComponent",
    (input, { world }) => {
      const { component, version } = parse(input.arn, world);
      return {
        arn: input.arn,
        componentName: component.componentName,
        componentVersion: version.version,
        creationTimestamp: version.at,
        publisher: version.publisher,
        description: version.description,
        status: { componentState: "DEPLOYABLE", message: "NONE", errors: {}, vendorGuidance: "ACTIVE" },
        platforms: [{ name: "linux", attributes: { os: "linux" } }],
        tags: {},
      };
    },
  ],
  "greengrassv2.GetComponent": [
    "greengrass:GetComponent",
    (input, { world }) => {
      const { component, version } = parse(input.arn, world);
      return {
        recipeOutputFormat: "JSON",
        recipe: base64(
          version.recipe ?? JSON.stringify(recipe(component.componentName, version.version, version), null, 2),
        ),
        tags: {},
      };
    },
  ],
  "greengrassv2.CreateComponentVersion": [
    "greengrass:CreateComponentVersion",
    ({ inlineRecipe }, { world }) => {
      const text = Buffer.from(inlineRecipe, "base64").toString();
      let made;
      try {
        made = JSON.parse(text);
      } catch {
        throw new Fault(
          400,
          "ValidationException",
          "the recipe is not valid: expected JSON at line 1 column 1",
          "inlineRecipe",
        );
      }
      const { ComponentName: name, ComponentVersion: version } = made;
      if (!name || !version)
        throw new Fault(400, "ValidationException", "the recipe names no component or no version", "inlineRecipe");
      const component = world.components.get(name) ?? { componentName: name, arn: componentArn(name), versions: [] };
      component.versions.push({
        version,
        at: Date.now() / 1000,
        description: made.ComponentDescription,
        publisher: made.ComponentPublisher,
        recipe: text,
      });
      world.components.set(name, component);
      return {
        arn: componentArn(name, version),
        componentName: name,
        componentVersion: version,
        creationTimestamp: Date.now() / 1000,
        status: { componentState: "DEPLOYABLE" },
      };
    },
  ],
  "greengrassv2.DeleteComponent": [
    "greengrass:DeleteComponent",
    (input, { world }) => {
      const { component, version } = parse(input.arn, world);
      component.versions = component.versions.filter((one) => one !== version);
      if (component.versions.length === 0) world.components.delete(component.componentName);
      return {};
    },
  ],
  "greengrassv2.ListDeployments": [
    "greengrass:ListDeployments",
    (input, { world }) => {
      const list = world.deployments
        .toReversed()
        .filter(
          (one) =>
            (!input.targetArn || one.targetArn === input.targetArn) &&
            (input.historyFilter === "ALL" || one.isLatestForTarget),
        );
      const { items, nextToken } = page(
        list,
        { max: input.maxResults, token: input.nextToken },
        (one) => one.deploymentId,
      );
      return {
        deployments: items.map(
          ({
            deploymentId,
            deploymentName,
            revisionId,
            targetArn,
            deploymentStatus,
            creationTimestamp,
            isLatestForTarget,
          }) => ({
            deploymentId,
            deploymentName,
            revisionId,
            targetArn,
            deploymentStatus,
            creationTimestamp,
            isLatestForTarget,
          }),
        ),
        nextToken,
      };
    },
  ],
  "greengrassv2.GetDeployment": [
    "greengrass:GetDeployment",
    ({ deploymentId }, { world }) => {
      const { executions, ...deployment } = deploymentOf(world, deploymentId);
      return deployment;
    },
  ],
  "greengrassv2.CreateDeployment": [
    "greengrass:CreateDeployment",
    (input, { world }) => {
      for (const name of Object.keys(input.components ?? {}))
        if (!world.components.has(name))
          throw new Fault(404, "ResourceNotFoundException", `component ${name} not found`);
      for (const one of world.deployments) if (one.targetArn === input.targetArn) one.isLatestForTarget = false;
      const deploymentId = crypto.randomUUID();
      const group = world.groups.get(input.targetArn.split("/").pop());
      const members = group
        ? [...group.members].filter((name) => world.cores.has(name))
        : [input.targetArn.split("/").pop()];
      const iotJobId = group ? `job-${deploymentId.slice(0, 8)}` : undefined;
      world.deployments.push({
        ...input,
        deploymentId,
        revisionId: "1",
        deploymentStatus: "ACTIVE",
        creationTimestamp: Date.now() / 1000,
        isLatestForTarget: true,
        iotJobId,
        executions: Object.fromEntries(members.map((name) => [name, { status: "QUEUED", reason: "" }])),
      });
      for (const name of members)
        world.cores.get(name)?.effective.unshift({
          deploymentId,
          deploymentName: input.deploymentName ?? "",
          targetArn: input.targetArn,
          iotJobId,
          coreDeviceExecutionStatus: "QUEUED",
          reason: "",
          creationTimestamp: Date.now() / 1000,
          modifiedTimestamp: Date.now() / 1000,
        });
      return { deploymentId, iotJobId, iotJobArn: iotJobId && arn(`job/${iotJobId}`) };
    },
  ],
  "greengrassv2.CancelDeployment": [
    "greengrass:CancelDeployment",
    ({ deploymentId }, { world }) => {
      const deployment = deploymentOf(world, deploymentId);
      if (deployment.deploymentStatus !== "ACTIVE")
        throw new Fault(409, "ConflictException", "the deployment is not active");
      deployment.deploymentStatus = "CANCELED";
      return { message: "The deployment was canceled" };
    },
  ],
  "greengrassv2.GetConnectivityInfo": [
    "greengrass:GetConnectivityInfo",
    ({ thingName }, { world }) => {
      coreOf(world, thingName);
      return {
        connectivityInfo:
          thingName === "gateway-hall-1" ? [{ id: "1", hostAddress: "10.0.4.2", portNumber: 8883, metadata: "" }] : [],
      };
    },
  ],
};

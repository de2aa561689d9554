// Things, groups, certificates, policies, jobs.
import { page } from "../page.mjs";
import { Fault } from "../server.mjs";
import { arn } from "../world.mjs";

const missing = (what) => new Fault(404, "ResourceNotFoundException", `${what} not found`);
const thingOf = (world, name) => world.things.get(name) ?? raise(missing(`thing ${name}`));
const groupOf = (world, name) => world.groups.get(name) ?? raise(missing(`thing group ${name}`));
const certificateOf = (world, id) =>
  world.certificates.find((one) => one.certificateId === id || one.certificateArn === id) ??
  raise(missing("certificate"));
function raise(fault) {
  throw fault;
}

const names = new WeakMap();
/** Sorted once for each size of the map: a page of 100,000 things must not cost a sort. */
function sortedThings(world) {
  const kept = names.get(world);
  if (kept?.size === world.things.size) return kept.list;
  const list = [...world.things.values()].sort((a, b) => (a.thingName < b.thingName ? -1 : 1));
  names.set(world, { size: world.things.size, list });
  return list;
}

const POLICIES = {
  MarramCorePolicy: {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: ["iot:Connect", "iot:Publish", "greengrass:*"], Resource: "*" }],
  },
  MachinePolicy: {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "iot:Publish", Resource: arn("topic/plant/*") }],
  },
};

export const iot = {
  "iot.ListThings": [
    "iot:ListThings",
    (input, { world }) => {
      let list = sortedThings(world);
      if (input.attributeName)
        list = list.filter((thing) => thing.attributes[input.attributeName] === input.attributeValue);
      if (input.thingTypeName) list = list.filter((thing) => thing.thingTypeName === input.thingTypeName);
      const { items, nextToken } = page(
        list,
        { max: input.maxResults, token: input.nextToken },
        (thing) => thing.thingName,
      );
      return { things: items, nextToken };
    },
  ],
  "iot.DescribeThing": [
    "iot:DescribeThing",
    ({ thingName }, { world }) => ({
      ...thingOf(world, thingName),
      defaultClientId: thingName,
      thingId: `id-${thingName}`,
    }),
  ],
  "iot.CreateThing": [
    "iot:CreateThing",
    ({ thingName, attributePayload }, { world }) => {
      if (!/^[a-zA-Z0-9:_<>= .()-]{1,128}$/.test(thingName))
        throw new Fault(400, "InvalidRequestException", "thingName must be 1 to 128 of a-zA-Z0-9:_-", "thingName");
      if (world.things.has(thingName))
        throw new Fault(409, "ResourceAlreadyExistsException", `thing ${thingName} already exists`);
      const thing = {
        thingName,
        thingArn: arn(`thing/${thingName}`),
        version: 1,
        attributes: attributePayload?.attributes ?? {},
      };
      world.things.set(thingName, thing);
      return { thingName, thingArn: thing.thingArn, thingId: `id-${thingName}` };
    },
  ],
  "iot.UpdateThing": [
    "iot:UpdateThing",
    ({ thingName, attributePayload, expectedVersion }, { world }) => {
      const thing = thingOf(world, thingName);
      if (expectedVersion !== undefined && expectedVersion !== thing.version)
        throw new Fault(409, "VersionConflictException", "the thing has changed since");
      thing.attributes = attributePayload?.merge
        ? { ...thing.attributes, ...attributePayload.attributes }
        : (attributePayload?.attributes ?? {});
      thing.version += 1;
      return {};
    },
  ],
  "iot.DeleteThing": [
    "iot:DeleteThing",
    ({ thingName }, { world }) => {
      thingOf(world, thingName);
      world.things.delete(thingName);
      return {};
    },
  ],
  "iot.ListThingTypes": [
    "iot:ListThingTypes",
    () => ({
      thingTypes: [{ thingTypeName: "Machine", thingTypeProperties: { thingTypeDescription: "A machine of a line" } }],
    }),
  ],
  "iot.ListThingGroups": [
    "iot:ListThingGroups",
    (input, { world }) => {
      const list = [...world.groups.values()].filter((group) =>
        group.thingGroupName.startsWith(input.namePrefixFilter ?? ""),
      );
      const { items, nextToken } = page(
        list,
        { max: input.maxResults, token: input.nextToken },
        (group) => group.thingGroupName,
      );
      return {
        thingGroups: items.map((group) => ({ groupName: group.thingGroupName, groupArn: group.thingGroupArn })),
        nextToken,
      };
    },
  ],
  "iot.DescribeThingGroup": [
    "iot:DescribeThingGroup",
    ({ thingGroupName }, { world }) => {
      const { members, createdAt, description, ...group } = groupOf(world, thingGroupName);
      return {
        ...group,
        thingGroupProperties: { thingGroupDescription: description },
        thingGroupMetadata: { creationDate: createdAt },
      };
    },
  ],
  "iot.CreateThingGroup": [
    "iot:CreateThingGroup",
    ({ thingGroupName, thingGroupProperties }, { world }) => {
      if (world.groups.has(thingGroupName))
        throw new Fault(409, "ResourceAlreadyExistsException", "the group already exists");
      world.groups.set(thingGroupName, {
        thingGroupName,
        thingGroupArn: arn(`thinggroup/${thingGroupName}`),
        thingGroupId: "id",
        version: 1,
        description: thingGroupProperties?.thingGroupDescription ?? "",
        members: new Set(),
        createdAt: Date.now() / 1000,
      });
      return { thingGroupName };
    },
  ],
  "iot.DeleteThingGroup": [
    "iot:DeleteThingGroup",
    ({ thingGroupName }, { world }) => void world.groups.delete(groupOf(world, thingGroupName).thingGroupName) ?? {},
  ],
  "iot.ListThingsInThingGroup": [
    "iot:ListThingsInThingGroup",
    (input, { world }) => {
      const { items, nextToken } = page(
        groupOf(world, input.thingGroupName).members,
        { max: input.maxResults, token: input.nextToken },
        (name) => name,
      );
      return { things: items, nextToken };
    },
  ],
  "iot.ListThingGroupsForThing": [
    "iot:ListThingGroupsForThing",
    ({ thingName }, { world }) => ({
      thingGroups: [...world.groups.values()]
        .filter((group) => group.members.has(thingName))
        .map((group) => ({ groupName: group.thingGroupName, groupArn: group.thingGroupArn })),
    }),
  ],
  "iot.AddThingToThingGroup": [
    "iot:AddThingToThingGroup",
    ({ thingGroupName, thingName }, { world }) =>
      void groupOf(world, thingGroupName).members.add(thingOf(world, thingName).thingName) ?? {},
  ],
  "iot.RemoveThingFromThingGroup": [
    "iot:RemoveThingFromThingGroup",
    ({ thingGroupName, thingName }, { world }) => void groupOf(world, thingGroupName).members.delete(thingName) ?? {},
  ],
  "iot.ListThingPrincipals": [
    "iot:ListThingPrincipals",
    ({ thingName }, { world }) => ({
      principals: world.certificates.filter((one) => one.thing === thingName).map((one) => one.certificateArn),
    }),
  ],
  "iot.ListPrincipalThings": [
    "iot:ListPrincipalThings",
    ({ principal }, { world }) => ({ things: [certificateOf(world, principal).thing] }),
  ],
  "iot.ListCertificates": [
    "iot:ListCertificates",
    (input, { world }) => {
      const { items, nextToken } = page(
        world.certificates,
        { max: input.pageSize, token: input.marker },
        (one) => one.certificateId,
      );
      return {
        certificates: items.map(({ certificateId, certificateArn, status, creationDate }) => ({
          certificateId,
          certificateArn,
          status,
          creationDate,
        })),
        nextMarker: nextToken,
      };
    },
  ],
  "iot.DescribeCertificate": [
    "iot:DescribeCertificate",
    ({ certificateId }, { world }) => {
      const { thing, policies, ...certificate } = certificateOf(world, certificateId);
      return {
        certificateDescription: {
          ...certificate,
          ownedBy: "000000000000",
          certificateMode: "DEFAULT",
          lastModifiedDate: certificate.creationDate,
        },
      };
    },
  ],
  "iot.UpdateCertificate": [
    "iot:UpdateCertificate",
    ({ certificateId, newStatus }, { world }) =>
      void Object.assign(certificateOf(world, certificateId), { status: newStatus }) ?? {},
  ],
  "iot.ListAttachedPolicies": [
    "iot:ListAttachedPolicies",
    ({ target }, { world }) => ({
      policies: (world.certificates.find((one) => one.certificateArn === target)?.policies ?? []).map((policyName) => ({
        policyName,
        policyArn: arn(`policy/${policyName}`),
      })),
    }),
  ],
  "iot.GetPolicy": [
    "iot:GetPolicy",
    ({ policyName }) => ({
      policyName,
      policyArn: arn(`policy/${policyName}`),
      policyDocument: JSON.stringify(POLICIES[policyName] ?? {}),
      defaultVersionId: "1",
    }),
  ],
  "iot.ListPolicies": [
    "iot:ListPolicies",
    () => ({
      policies: Object.keys(POLICIES).map((policyName) => ({ policyName, policyArn: arn(`policy/${policyName}`) })),
    }),
  ],
  "iot.DescribeEndpoint": ["iot:DescribeEndpoint", () => ({ endpointAddress: "localhost:8883" })],
  "iot.ListJobExecutionsForJob": [
    "iot:ListJobExecutionsForJob",
    ({ jobId }, { world }) => {
      const deployment = world.deployments.find((one) => one.iotJobId === jobId) ?? raise(missing(`job ${jobId}`));
      return {
        executionSummaries: Object.entries(deployment.executions).map(([thing, { status }]) => ({
          thingArn: arn(`thing/${thing}`),
          jobExecutionSummary: {
            status,
            queuedAt: deployment.creationTimestamp,
            startedAt: status === "QUEUED" ? undefined : deployment.creationTimestamp + 4,
            lastUpdatedAt: deployment.creationTimestamp + (status === "QUEUED" ? 0 : 38),
            executionNumber: 1,
          },
        })),
      };
    },
  ],
  "iot.DescribeJob": [
    "iot:DescribeJob",
    ({ jobId }, { world }) => {
      const deployment = world.deployments.find((one) => one.iotJobId === jobId) ?? raise(missing(`job ${jobId}`));
      const count = (status) => Object.values(deployment.executions).filter((one) => one.status === status).length;
      return {
        job: {
          jobId,
          status: deployment.deploymentStatus === "ACTIVE" ? "IN_PROGRESS" : deployment.deploymentStatus,
          targetSelection: "CONTINUOUS",
          jobProcessDetails: {
            numberOfQueuedThings: count("QUEUED"),
            numberOfInProgressThings: count("IN_PROGRESS"),
            numberOfSucceededThings: count("SUCCEEDED"),
            numberOfFailedThings: count("FAILED"),
            numberOfRejectedThings: count("REJECTED"),
          },
        },
      };
    },
  ],
};

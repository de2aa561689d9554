// Logs, IAM, and what the home page asks of Things Graph.
import { page } from "../page.mjs";
import { Fault } from "../server.mjs";
import { ACCOUNT, arn } from "../world.mjs";

const groupOf = (world, name) => {
  const group = world.logs.get(name);
  if (!group) throw new Fault(400, "ResourceNotFoundException", "The specified log group does not exist.");
  return group;
};

export const rest = {
  "logs.DescribeLogGroups": [
    "logs:DescribeLogGroups",
    (input, { world }) => {
      const list = [...world.logs].filter(([name]) => name.startsWith(input.logGroupNamePrefix ?? ""));
      const { items, nextToken } = page(list, { max: input.limit ?? 50, token: input.nextToken }, ([name]) => name);
      return {
        logGroups: items.map(([logGroupName, group]) => ({
          logGroupName,
          creationTime: group.creationTime,
          retentionInDays: group.retentionInDays,
          storedBytes: 48_213,
          arn: arn(`log-group:${logGroupName}`, "logs"),
        })),
        nextToken,
      };
    },
  ],
  "logs.DescribeLogStreams": [
    "logs:DescribeLogStreams",
    ({ logGroupName }, { world }) => ({
      logStreams: [...groupOf(world, logGroupName).streams].map(([logStreamName, events]) => ({
        logStreamName,
        creationTime: events[0]?.timestamp,
        firstEventTimestamp: events[0]?.timestamp,
        lastEventTimestamp: events.at(-1)?.timestamp,
      })),
    }),
  ],
  "logs.FilterLogEvents": [
    "logs:FilterLogEvents",
    (input, { world }) => {
      const group = groupOf(world, input.logGroupName);
      const words = (input.filterPattern ?? "").replaceAll('"', "").split(/\s+/).filter(Boolean);
      const list = [...group.streams]
        .filter(([name]) => !input.logStreamNames || input.logStreamNames.includes(name))
        .flatMap(([logStreamName, events]) =>
          events.map((event) => ({ ...event, logStreamName, ingestionTime: event.timestamp + 800 })),
        )
        .filter(
          (event) =>
            event.timestamp >= (input.startTime ?? 0) &&
            event.timestamp < (input.endTime ?? Number.POSITIVE_INFINITY) &&
            words.every((word) => event.message.includes(word)),
        )
        .sort((a, b) => a.timestamp - b.timestamp || (a.eventId < b.eventId ? -1 : 1));
      const { items, nextToken } = page(
        list,
        { max: input.limit ?? 1000, token: input.nextToken },
        (event) => event.eventId + event.logStreamName,
      );
      return { events: items, searchedLogStreams: [], nextToken };
    },
  ],
  "iam.ListRoles": [
    "iam:ListRoles",
    () => ({
      Roles: [
        {
          RoleName: "MarramCoreTokenExchange",
          Arn: `arn:aws:iam::${ACCOUNT}:role/MarramCoreTokenExchange`,
          CreateDate: 1_760_000_000,
        },
      ],
    }),
  ],
  "iam.ListUsers": [
    "iam:ListUsers",
    (_, { people }) => ({
      Users: [...people.values()].map((person) => ({
        UserName: person.user,
        Arn: person.arn,
        CreateDate: person.created ?? 1_760_000_000,
      })),
    }),
  ],
  "iam.CreateUser": [
    "iam:CreateUser",
    ({ UserName }, { sessions }) => {
      if (sessions.people.has(UserName))
        throw new Fault(409, "EntityAlreadyExists", `User with name ${UserName} already exists.`);
      const person = sessions.add({ user: UserName, statements: [], created: Date.now() / 1000 });
      return { User: { UserName, Arn: person.arn } };
    },
  ],
  "iam.ListGroups": ["iam:ListGroups", () => ({ Groups: [{ GroupName: "Operators" }, { GroupName: "Auditors" }] })],
  "iam.AddUserToGroup": [
    "iam:AddUserToGroup",
    ({ UserName, GroupName }, { people }) => {
      const actions = GroupName === "Operators" ? ["iot:*", "greengrass:*"] : ["cloudtrail:LookupEvents"];
      people.get(UserName).statements.push({ actions });
      return {};
    },
  ],
  "iam.ListPolicies": [
    "iam:ListPolicies",
    () => ({ Policies: [{ PolicyName: "ReadLogs", Arn: `arn:aws:iam::${ACCOUNT}:policy/ReadLogs` }] }),
  ],
  "iam.AttachUserPolicy": [
    "iam:AttachUserPolicy",
    ({ UserName }, { people }) => {
      people.get(UserName).statements.push({ actions: ["logs:*"] });
      return {};
    },
  ],
  "iotthingsgraph.SearchSystemInstances": [
    "iotthingsgraph:SearchSystemInstances",
    () => ({
      summaries: [
        {
          id: "urn:tdm:us-east-1/000000000000/default:Deployment:Room215",
          arn: arn("Deployment/default/Room215", "iotthingsgraph"),
          status: "DEPLOYED_IN_TARGET",
          target: "CLOUD",
          createdAt: 1_763_000_000,
          updatedAt: 1_763_500_000,
        },
      ],
    }),
  ],
  "iotthingsgraph.SearchFlowExecutions": ["iotthingsgraph:SearchFlowExecutions", () => ({ summaries: [] })],
};

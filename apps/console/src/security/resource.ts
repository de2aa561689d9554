// From what a person writes (a topic, a thing's name) to the ARN that a policy speaks of.

interface Place {
  region: string;
  account: string;
}

export const SUGGESTED_ACTIONS = [
  "iot:Publish",
  "iot:Subscribe",
  "iot:Receive",
  "iot:Connect",
  "iot:GetThingShadow",
  "iot:UpdateThingShadow",
  "iot:CreateThing",
  "iot:UpdateCertificate",
  "greengrass:CreateDeployment",
  "greengrass:CreateComponentVersion",
  "iotthingsgraph:DeploySystemInstance",
  "iotthingsgraph:ReadModbus",
  "iotthingsgraph:WriteModbus",
  "iotthingsgraph:InvokeWebService",
  "iam:CreateAccessKey",
  "sts:AssumeRole",
  "cloudtrail:LookupEvents",
];

const KINDS: Record<string, string> = {
  "iot:Publish": "topic",
  "iot:RetainPublish": "topic",
  "iot:Receive": "topic",
  "iot:Subscribe": "topicfilter",
  "iot:Connect": "client",
  "iotthingsgraph:ReadModbus": "thing",
  "iotthingsgraph:WriteModbus": "thing",
};

/** ARNs and `*` stay; a bare word becomes the resource that the action is about. */
export function resourceOf(action: string, text: string, place: Place): string {
  if (text === "" || text === "*" || text.startsWith("arn:")) return text;
  const kind = KINDS[action] ?? (action.startsWith("iot:") ? "thing" : undefined);
  return kind === undefined ? text : `arn:aws:iot:${place.region}:${place.account}:${kind}/${text}`;
}

/** ARNs stay; a bare word is a thing. */
export function principalOf(text: string, place: Place): string {
  if (text === "" || text.startsWith("arn:")) return text;
  return `arn:aws:iot:${place.region}:${place.account}:thing/${text}`;
}

// The target of a deployment: a core or a group, by its ARN.
import { arnKind, arnName } from "../ui/format.ts";
import { TextLink } from "../ui/link.tsx";

export function TargetLink({ arn }: { arn: string }) {
  const name = arnName(arn);
  if (arnKind(arn) === "thinggroup") {
    return (
      <span>
        group{" "}
        <TextLink to="/group" search={{ name }}>
          {name}
        </TextLink>
      </span>
    );
  }
  return (
    <span>
      core{" "}
      <TextLink to="/core" search={{ name }}>
        {name}
      </TextLink>
    </span>
  );
}

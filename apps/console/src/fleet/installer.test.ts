// The installation command holds nothing a shell could take for more than a name.
import { describe, expect, it } from "vitest";
import { installer, isHost, isThingName } from "./installer.ts";

describe("what reaches the shell", () => {
  it.each(["a b", "a;reboot", "$(x)", "-rf", "", "a'b", "a\nb", "x".repeat(129)])("refuses the name %j", (name) => {
    expect(isThingName(name)).toBe(false);
    expect(() => installer("here", name, "")).toThrow();
  });
  it.each(["-oProxyCommand=x", "a b", "root@", "root@-x", "h;id", "a@b@c"])("refuses the host %j", (host) => {
    expect(isHost(host)).toBe(false);
    expect(() => installer("ssh", "ok", host)).toThrow();
  });
});

it("provisions, copies and starts over SSH", () => {
  const text = installer("ssh", "press-1", "root@10.0.0.7");
  expect(text).toContain("marram core provision --thing press-1 --out press-1 --installed-at /etc/marram-core");
  expect(text).toContain("ssh root@10.0.0.7 'apt-get install");
});

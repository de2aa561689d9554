// The text of the installation command. What a person types reaches it only after its shape is checked: it ends in a shell.

/** Over SSH; on the machine of the control plane; carried on a medium. */
export type Way = "ssh" | "here" | "stick";

export function isThingName(name: string): boolean {
  return /^[a-zA-Z0-9:_-]{1,128}$/.test(name) && !name.startsWith("-");
}

/** `host`, `user@host`, an IPv4 address; no option, no quote, no space. */
export function isHost(host: string): boolean {
  return /^(?:[a-z_][a-z0-9_-]*@)?[a-zA-Z0-9][a-zA-Z0-9.-]{0,252}$/.test(host);
}

const INSTALLED_AT = "/etc/marram-core";

/** Throws on names that `isThingName` and `isHost` refuse. */
export function installer(way: Way, name: string, host: string): string {
  if (!isThingName(name) || (way === "ssh" && !isHost(host))) throw new Error("not fit for a shell");
  const provision = (where: string) => `marram core provision --thing ${name} --out ${name}${where}`;
  if (way === "here") {
    return [
      `${provision("")} \\`,
      `  && sudo marram-core run --root /var/lib/marram-${name.replaceAll(":", "-")} --init-config ${name}/config.yaml`,
    ].join("\n");
  }
  const setUp = `apt-get install -y /tmp/marram-core.deb </dev/null && tar -xC ${INSTALLED_AT} && systemctl enable --now marram-core`;
  if (way === "ssh") {
    return [
      `${provision(` --installed-at ${INSTALLED_AT}`)} \\`,
      `  && scp marram-core_*.deb ${host}:/tmp/marram-core.deb \\`,
      `  && tar -cC ${name} . | ssh ${host} '${setUp}'`,
    ].join("\n");
  }
  return [
    `${provision(` --installed-at ${INSTALLED_AT}`)} \\`,
    `  && tar -cf ${name}.tar -C ${name} . && cp marram-core_*.deb marram-core.deb`,
    "",
    `# then carry ${name}.tar and marram-core.deb to the gateway, keep them secret on the way, and there as root:`,
    `apt-get install -y ./marram-core.deb && tar -xC ${INSTALLED_AT} -f ${name}.tar && systemctl enable --now marram-core`,
  ].join("\n");
}

// Every page, light and dark, wide and narrow: no serious accessibility finding, no error, no request to elsewhere; a picture.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { axeFindings, enrol, launch, openContext, paint, REAL, shoot, startServer, visit } from "./browser.mjs";

const DEPLOYMENT = "00000002-1c52-4a7e-9f2e-3d1f0a6b7c8d";
const PAGES = {
  home: "/",
  cores: "/cores",
  core: "/core?name=gateway-hall-3",
  "core-deployments": "/core?name=gateway-hall-3&tab=deployments",
  "core-configuration": "/core?name=gateway-hall-1&tab=configuration",
  "core-clients": "/core?name=gateway-hall-1&tab=clients",
  "add-core": "/add-core",
  components: "/components",
  component: "/component?name=com.example.ModbusReader",
  "new-component": "/new-component",
  deployments: "/deployments",
  deployment: `/deployment?id=${DEPLOYMENT}`,
  "new-deployment": "/new-deployment?component=com.example.ModbusReader&version=1.2.0",
  things: "/things",
  thing: "/thing?name=press-000000",
  shadows: "/thing?name=press-000000&tab=shadows",
  groups: "/groups",
  group: "/group?name=plant-1-gateways",
  logs: "/logs?core=gateway-hall-1",
  mqtt: "/mqtt",
  certificates: "/certificates",
  access: "/access?action=iot:Publish&resource=arn:aws:iot:us-east-1:000000000000:topic/plant/1",
  rights: "/access?principal=arn:aws:iot:us-east-1:000000000000:thing/press-000000",
  audit: "/audit",
  missing: "/no-such-page",
};

describe("pages", { skip: REAL && "against the scripted server only" }, () => {
  let server, browser, page, faults;
  before(async () => {
    server = await startServer({ things: 2_000 });
    browser = await launch();
    const opened = await openContext(browser, new URL(server.url).origin);
    faults = opened.faults;
    page = await opened.context.newPage();
    await enrol(page, server.welcome);
    const certificate = server.world.certificates[0].certificateId;
    PAGES.certificate = `/certificate?id=${certificate}`;
  });
  after(async () => {
    await browser.close();
    await server.close();
  });

  async function check(name, path) {
    const fullPage = name !== "things";
    await page.setViewportSize({ width: 1280, height: 800 });
    await paint(page, "light");
    await visit(page, path);
    assert.deepEqual(await axeFindings(page), [], `${name} in light`);
    await shoot(page, `${name}-1280-light`, { fullPage });
    await paint(page, "dark");
    assert.deepEqual(await axeFindings(page), [], `${name} in dark`);
    await shoot(page, `${name}-1280-dark`, { fullPage });
    await paint(page, "light");
    await page.setViewportSize({ width: 390, height: 844 });
    await page.getByRole("button", { name: "Open the navigation" }).waitFor();
    await shoot(page, `${name}-390`, { fullPage });
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    assert.ok(overflow <= 0, `${name} is ${overflow} px wider than a phone`);
    assert.deepEqual(await axeFindings(page), [], `${name} on a phone`);
    assert.deepEqual(faults.splice(0), []);
    await page.setViewportSize({ width: 1280, height: 800 });
  }

  for (const name of [...Object.keys(PAGES), "certificate"]) {
    it(name, () => check(name, PAGES[name]));
  }

  it("the rest of the navigation", async () => {
    const links = await page
      .getByRole("navigation", { name: "Pages" })
      .getByRole("link")
      .evaluateAll((all) => all.map((link) => link.getAttribute("href").replace("/console", "") || "/"));
    for (const path of links.filter((one) => !Object.values(PAGES).includes(one))) {
      if (path !== "/logs") await check(path.slice(1).replaceAll("/", "-"), path);
    }
  });

  it("is reached by keyboard: skip link first, then the navigation", async () => {
    await page.setViewportSize({ width: 1280, height: 800 });
    await visit(page, "/");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to the content");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
    await page.getByRole("link", { name: "Cores", exact: true }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Cores" }).waitFor();
    await page.waitForFunction(() => document.activeElement?.tagName === "H1");
  });
});

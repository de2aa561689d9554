// Inviting somebody from a page: user, rights and link; the invited person enrols in another browser; withdrawing.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { axeFindings, enrol, launch, openContext, settled, shoot, signIn, startServer, visit } from "./browser.mjs";
import { given, program, startMarram } from "./real.mjs";

function story(name, options, start, rights) {
  describe(`inviting, ${name}`, options, () => {
    let server, browser, page, faults, link;
    const open = async () => {
      const opened = await openContext(browser, new URL(server.welcome).origin);
      return { ...opened, page: await opened.context.newPage() };
    };
    before(async () => {
      server = await start();
      browser = await launch();
      ({ page, faults } = await open());
      await enrol(page, server.welcome);
    });
    after(async () => {
      await browser?.close();
      await (server?.close ?? server?.stop)?.();
    });
    const invite = async (user, choose) => {
      await page.getByRole("link", { name: "People" }).first().click();
      await page.getByRole("link", { name: "Invite someone" }).click();
      await page.getByLabel("User", { exact: true }).fill(user);
      await choose?.();
      await page.getByRole("button", { name: "Make the link" }).click();
      await page.getByText("Shown once").waitFor();
      return page.getByLabel("the link", { exact: true }).textContent();
    };

    it("makes a user with a policy and shows the link once", async () => {
      link = await invite("anna", async () => {
        await page.getByRole("combobox", { name: "Policies" }).click();
        await page.getByRole("option", { name: rights.policy, exact: true }).click();
        await page.keyboard.press("Escape");
        assert.deepEqual(await axeFindings(page), []);
        await shoot(page, `${name}-invite-1280`);
      });
      assert.match(link, /\/console\/#\/welcome\?token=[\w-]{43}$/);
      assert.deepEqual(await axeFindings(page), []);
      await visit(page, "/people");
      const row = page.getByRole("row", { name: /anna/ });
      await row.getByText(/invited, ends/).waitFor();
      assert.equal(await page.getByText("token=").count(), 0);
      assert.deepEqual(await axeFindings(page), []);
      await shoot(page, `${name}-people-1280`);
    });

    it("lets the invited person in, with those rights and once", async () => {
      const anna = await open();
      await enrol(anna.page, link);
      await anna.page.getByRole("link", { name: rights.page, exact: true }).waitFor();
      assert.equal(await anna.page.getByRole("link", { name: "People" }).count(), 0);
      const thief = await open();
      await thief.page.goto(link);
      await thief.page.getByText("The link was used, is too old").waitFor();
      await visit(page, "/people");
      await page.getByRole("row", { name: /anna/ }).getByText("can sign in").waitFor();
      assert.deepEqual([...anna.faults, ...thief.faults], []);
    });

    it("withdraws an invitation", async () => {
      const withdrawn = await invite("berta");
      await visit(page, "/people");
      await page.getByRole("button", { name: "Withdraw the invitation of berta" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Withdraw", exact: true }).click();
      await page.getByText("opens nothing any more").waitFor();
      const late = await open();
      await late.page.goto(withdrawn);
      await late.page.getByText("The link was used, is too old").waitFor();
      assert.deepEqual(late.faults, []);
    });

    it("tells the server's own words when it refuses", { skip: name !== "scripted" }, async () => {
      const viewer = server.sessions.add({
        ...server.sessions.readOnlyPerson,
        user: "helper",
        statements: [{ actions: ["iam:List*", "iam:CreateLoginProfile", "iam:CreateUser"] }],
      });
      const helper = await open();
      await helper.page.goto(server.url);
      await signIn(helper.page, viewer);
      viewer.statements[0].actions.pop();
      await visit(helper.page, "/people");
      await helper.page.getByRole("link", { name: "Invite someone" }).click();
      await helper.page.getByLabel("User", { exact: true }).fill("mallory");
      await helper.page.getByText("you may not make one").waitFor();
      await settled(helper.page);
      assert.equal(await helper.page.getByLabel("Policies").count(), 0, "what may not be given is not offered");
    });

    it("leaves a record of each step", { skip: name === "scripted" }, async () => {
      await visit(page, "/audit");
      for (const event of ["CreateUser", "AttachUserPolicy", "CreateConsoleLink", "DeleteConsoleLink"]) {
        await page.getByRole("cell", { name: event }).first().waitFor();
      }
    });

    it("left no error behind", () => assert.deepEqual(faults, []));
  });
}

story("scripted", { skip: given && "against the scripted server only" }, () => startServer({ things: 100 }), {
  policy: "ReadLogs",
  page: "Logs",
});
story("real", { skip: (given || !program) && "needs MARRAM_BIN" }, () => startMarram(), {
  policy: "AWSIoTFullAccess",
  page: "Things",
});

// Passkeys in a browser with a virtual authenticator: the first one, further ones, signing in, proving again, the last one.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { totp } from "../mock/session.mjs";
import { axeFindings, launch, openContext, PASSWORD, settled, shoot, startServer, visit } from "./browser.mjs";
import { given, program, startMarram } from "./real.mjs";

/** An authenticator inside the browser that checks its person; answers the handle for CDP. */
async function authenticator(context, page) {
  const cdp = await context.newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return { cdp, authenticatorId };
}

function story(name, options, start) {
  describe(`passkeys, ${name}`, options, () => {
    let server, browser, context, page, faults, keys;
    const changed = (toast) => page.getByText(toast).last().waitFor();
    before(async () => {
      server = await start();
      browser = await launch();
      ({ context, faults } = await openContext(browser, new URL(server.welcome).origin));
      page = await context.newPage();
      await page.goto(server.welcome);
      keys = await authenticator(context, page);
    });
    after(async () => {
      await browser?.close();
      await (server?.close ?? server?.stop)?.();
    });

    it("enrols the first person with a passkey and nothing else", async () => {
      await page.getByRole("heading", { name: /^Welcome, / }).waitFor();
      assert.deepEqual(await axeFindings(page), []);
      await shoot(page, `${name}-enrol-passkey-1280`);
      await page.getByLabel("Name of the passkey").fill("Work laptop");
      await page.getByRole("button", { name: "Create a passkey and sign in" }).click();
      await page.getByRole("heading", { level: 1, name: "Home" }).waitFor();
      const { credentials } = await keys.cdp.send("WebAuthn.getCredentials", keys);
      assert.deepEqual(
        credentials.map((one) => [one.isResidentCredential, one.rpId]),
        [[true, "localhost"]],
      );
    });

    it("signs out, and in again with the passkey alone", async () => {
      await page.getByTitle("Account menu").click();
      await page.getByRole("menuitem", { name: "Sign out" }).click();
      await page.getByRole("button", { name: "Sign in with a passkey" }).waitFor();
      assert.deepEqual(await axeFindings(page), []);
      await shoot(page, `${name}-sign-in-passkey-1280`);
      await page.getByRole("button", { name: "Sign in with a passkey" }).click();
      await page.getByRole("heading", { level: 1, name: "Home" }).waitFor();
    });

    it("tells what to do when the authenticator does not know its person", async () => {
      await page.getByTitle("Account menu").click();
      await page.getByRole("menuitem", { name: "Sign out" }).click();
      await page.getByRole("button", { name: "Sign in with a passkey" }).waitFor();
      await keys.cdp.send("WebAuthn.setUserVerified", { ...keys, isUserVerified: false });
      await page.getByRole("button", { name: "Sign in with a passkey" }).click();
      await page.getByText("The browser gave no passkey").waitFor();
      await keys.cdp.send("WebAuthn.setUserVerified", { ...keys, isUserVerified: true });
      await page.getByRole("button", { name: "Sign in with a passkey" }).click();
      await page.getByRole("heading", { level: 1, name: "Home" }).waitFor();
    });

    it("keeps the last way in, and names the ones there are", async () => {
      await page.getByTitle("Account menu").click();
      await page.getByRole("menuitem", { name: "My sign-in" }).click();
      await page.getByRole("cell", { name: "Work laptop", exact: true }).waitFor();
      await settled(page);
      assert.deepEqual(await axeFindings(page), []);
      await shoot(page, `${name}-my-sign-in-1280`);
      await page.getByRole("button", { name: "Rename Work laptop" }).click();
      await page.getByRole("dialog").getByLabel("Name of the passkey").fill("Old laptop");
      await page.getByRole("button", { name: "Save" }).click();
      await page.getByRole("cell", { name: "Old laptop", exact: true }).waitFor();
      await page.getByRole("button", { name: "Remove Old laptop" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
      await page.getByText("This is the last way to sign in").waitFor();
      await page.getByRole("button", { name: "Keep it" }).click();
    });

    it("refuses the same authenticator twice and takes another one", async () => {
      await page.getByRole("button", { name: "Add a passkey" }).click();
      await page.getByRole("dialog").getByLabel("Name of the passkey").fill("Key ring");
      await page.getByRole("button", { name: "Create", exact: true }).click();
      await page.getByText("holds a passkey of yours already").waitFor();
      await keys.cdp.send("WebAuthn.removeVirtualAuthenticator", keys);
      Object.assign(keys, await authenticator(context, page));
      await page.getByRole("button", { name: "Create", exact: true }).click();
      await page.getByRole("cell", { name: "Key ring", exact: true }).waitFor();
      await page.getByRole("button", { name: "Remove Old laptop" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
      await page.getByRole("cell", { name: "Old laptop", exact: true }).waitFor({ state: "detached" });
    });

    it("sets a password beside it, and removes the passkey that is left", async () => {
      await page.getByRole("button", { name: "Set a password" }).click();
      const secret = (await page.locator("code").first().textContent()).replace(/\s/g, "");
      await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
      await page.getByLabel("Password again").fill(PASSWORD);
      await page.getByLabel("The code it shows now").fill(totp(secret));
      await page.getByRole("button", { name: "Set the password" }).click();
      await changed("The password is set.");
      await page.getByRole("button", { name: "Change the password" }).waitFor();
    });

    it("asks for the passkey again before something is destroyed", { skip: name !== "scripted" }, async () => {
      server.sessions.makeStale();
      await page.getByRole("button", { name: "Remove the password" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Remove the password" }).click();
      const again = page.getByRole("dialog", { name: "Is it still you?" });
      await again.waitFor();
      await shoot(page, "scripted-again-passkey-1280");
      await again.getByRole("button", { name: "Use a passkey" }).click();
      await changed("The password is removed.");
      await visit(page, "/things");
      await page.getByRole("heading", { level: 1, name: "Things" }).waitFor();
    });

    it("leaves a record of every change", { skip: name === "scripted" }, async () => {
      await visit(page, "/audit");
      for (const event of ["ConsoleEnrolment", "ConsoleLogin", "AddPasskey", "RemovePasskey", "SetConsolePassword"]) {
        await page.getByRole("cell", { name: event }).first().waitFor();
      }
    });

    it("left no error behind", () => assert.deepEqual(faults, []));
  });
}

story("scripted", { skip: given && "against the scripted server only" }, () => startServer({ things: 100 }));
story("real", { skip: (given || !program) && "needs MARRAM_BIN" }, () => startMarram());

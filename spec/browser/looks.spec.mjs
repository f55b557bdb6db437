// Appearance and accessibility: light, dark and narrow, in every state. No axe-core findings, no horizontal overflow.
// With FLUX2_SCREENSHOTS=FOLDER this spec also writes the screenshots of the documentation.

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { openBrowser, openPage, startHost, violations } from "./support.mjs";

const LOOKS = {
    light: { viewport: { width: 1280, height: 900 }, colorScheme: "light" },
    dark: { viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
    narrow: { viewport: { width: 390, height: 844 }, colorScheme: "light" },
};
const PROMPT = "A serene Japanese garden with cherry blossoms, koi pond, and wooden bridge, photorealistic";

let browser;
before(async () => { browser = await openBrowser(); });
after(async () => { await browser.close(); });

async function inspect(page, what) {
    assert.deepEqual(await violations(page), [], what);
    const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(inner <= outer, `${what}: ${inner} pixels wide in a window of ${outer}`);
}

async function screenshot(page, name) {
    const folder = process.env.FLUX2_SCREENSHOTS;
    if (folder) await page.screenshot({ path: path.join(folder, `tester-${name}.png`), fullPage: true });
}

for (const [name, look] of Object.entries(LOOKS)) {
    test(`in ${name}`, async () => {
        // Short poll intervals for speed; the normal schedule for screenshots.
        const tester = process.env.FLUX2_SCREENSHOTS ? undefined : { emulator: true, poll: { interval: 0.2 } };
        const host = await startHost({ emulator: { duration: 1.1 }, tester });
        const { page, problems } = await openPage(browser, host, look);
        await inspect(page, "empty");

        // The gallery has several tasks, one of them failed.
        const send = async (prompt, ratio) => {
            await page.fill("#prompt", prompt);
            if (ratio) await page.locator(`input[name="ratio"][value="${ratio}"]`).check({ force: true });
            await page.click("#send");
            await page.locator(".task .prompt").filter({ hasText: prompt }).waitFor();
        };
        await send("a lighthouse in a storm, oil on canvas", "3:2");
        await page.locator('.standing[data-state="running"]').waitFor();
        await inspect(page, "running");
        await page.locator(".canvas img").waitFor();
        await send("a red fox in the snow, watercolour [fail]", "1:1");
        await page.locator(".failure").waitFor();
        await inspect(page, "failed");

        await host.call("fault", { method: "POST", times: 1, retry_after: 1 });
        await send(PROMPT, "16:9");
        await page.locator('.standing[data-state="succeeded"]').waitFor();
        const image = page.locator(".canvas img");
        await image.waitFor();
        await image.evaluate((img) => img.decode());
        await page.locator('.event:has-text("Image downloaded")').waitFor();
        await page.locator("summary").last().click();
        await inspect(page, "finished");
        await page.locator("summary").last().click();
        await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
        await page.mouse.move(0, 0);
        await screenshot(page, name);

        await page.fill("#prompt", "ab");
        await page.locator("#prompt").blur();
        await page.click("#add-input");
        await page.locator("#prompt-error").filter({ hasText: "has 2" }).waitFor();
        await inspect(page, "with an invalid field");
        assert.deepEqual(problems, []);
        await page.close();
        await host.stop();
    });
}

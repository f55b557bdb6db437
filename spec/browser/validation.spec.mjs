// Each invalid field is reported at the field, before anything is sent.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage, setUp } from "./support.mjs";

const { browser, host } = await setUp();

const shown = (page, id, text) => page.locator(`#${id}`).filter({ hasText: text }).waitFor();

test("invalid fields are reported while typing", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.locator("#prompt").pressSequentially("ab");
    await page.waitForFunction(() => document.getElementById("code").textContent.includes("has 2"));
    assert.equal(await page.textContent("#prompt-error"), "", "no error before the field loses the focus");
    await page.locator("#prompt").blur();
    await shown(page, "prompt-error", "prompt must have 3 to 5000 characters, has 2");
    assert.equal(await page.getAttribute("#prompt", "aria-invalid"), "true");

    await page.fill("#prompt", "x".repeat(5001));
    await shown(page, "prompt-error", "has 5001");
    assert.equal(await page.textContent("#prompt-count"), "5001 / 5000");
    assert.ok(await page.locator("#prompt-count.over").count());
    // Characters are counted like the service does: an emoji is one character, not two.
    await page.fill("#prompt", "🦊".repeat(5000));
    await page.waitForFunction(() => document.getElementById("prompt-error").textContent === "");
    assert.equal(await page.textContent("#prompt-count"), "5000 / 5000");

    await page.fill("#prompt", "a red fox");
    await page.fill("#ratio-other", "16x9");
    await shown(page, "aspect_ratio-error", "did you mean '16:9'?");
    assert.equal(await page.getAttribute("#ratio-other", "aria-invalid"), "true");
    await page.fill("#ratio-other", "7:5");
    await page.waitForFunction(() => document.getElementById("aspect_ratio-error").textContent === "");
    await page.locator("#code").filter({ hasText: '"7:5"' }).waitFor();

    await page.click("#add-input");
    await page.fill('[aria-label="Image URL 1"]', "https://example.invalid/a.png");
    await page.click("#add-input");
    await page.fill('[aria-label="Image URL 2"]', "ftp://example.invalid/a.png");
    await shown(page, "input_urls-error-2", "input_urls[2] must be an http(s) URL");
    assert.equal(await page.textContent("#input_urls-error-1"), "");
    assert.equal(await page.getAttribute('[aria-label="Image URL 2"]', "aria-invalid"), "true");
    assert.deepEqual(problems, []);
    assert.equal((await host.call("stats")).submissions, 0);
    await page.close();
});

test("Send with an invalid field sends nothing, and focuses the field", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.focus("#send");
    await page.keyboard.press("Enter");
    await shown(page, "prompt-error", "prompt must have 3 to 5000 characters, has 0");
    assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
    await page.fill("#prompt", "a red fox");
    await page.fill("#ratio-other", "wide");
    await page.click("#send");
    await shown(page, "aspect_ratio-error", "aspect_ratio must be 'W:H'");
    assert.equal(await page.evaluate(() => document.activeElement.id), "ratio-other");
    assert.equal((await host.call("stats")).submissions, 0);
    assert.deepEqual(problems, []);
    await page.close();
});

test("every invalid field is marked at once", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.fill("#prompt", "x");
    await page.fill("#ratio-other", "wide");
    for (const [i, address] of ["ftp://example.invalid/a.png", "https://example.invalid/b.png", "c.png"].entries()) {
        await page.click("#add-input");
        await page.fill(`[aria-label="Image URL ${i + 1}"]`, address);
    }
    await page.click("#send");
    await shown(page, "prompt-error", "prompt must have 3 to 5000 characters, has 1");
    await shown(page, "aspect_ratio-error", "aspect_ratio must be 'W:H'");
    await shown(page, "input_urls-error-1", "input_urls[1] must be an http(s) URL");
    await shown(page, "input_urls-error-3", "input_urls[3] must be an http(s) URL");
    const marked = await page.locator('#form [aria-invalid="true"]').evaluateAll((list) => list.map((one) => one.ariaLabel || one.id));
    assert.deepEqual(marked, ["prompt", "ratio-other", "Image URL 1", "Image URL 3"]);
    assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
    assert.deepEqual(problems, []);
    await page.close();
});

test("a reload keeps the form", async () => {
    const { page, problems } = await openPage(browser, host);
    await page.fill("#prompt", "a red fox");
    await page.locator('input[name="type"][value="flex"]').check({ force: true });
    await page.locator('input[name="resolution"][value="2K"]').check({ force: true });
    await page.fill("#ratio-other", "7:5");
    await page.click("#add-input");
    await page.fill('[aria-label="Image URL 1"]', "ftp://example.invalid/a.png");
    await page.reload();
    await page.locator("#where-url").filter({ hasText: host.base_url }).waitFor();
    assert.equal(await page.inputValue("#prompt"), "a red fox");
    assert.equal(await page.locator('input[name="type"]:checked').inputValue(), "flex");
    assert.equal(await page.locator('input[name="resolution"]:checked').inputValue(), "2K");
    assert.equal(await page.inputValue("#ratio-other"), "7:5");
    assert.equal(await page.inputValue('[aria-label="Image URL 1"]'), "ftp://example.invalid/a.png");
    assert.deepEqual(problems, []);
    await page.close();
    // Another tab begins with an empty form, without an error.
    const other = await openPage(browser, host);
    assert.equal(await other.page.inputValue("#prompt"), "");
    await other.page.locator("#code").filter({ hasText: "Not a valid request yet" }).waitFor();
    assert.equal(await other.page.textContent("#prompt-error"), "");
    await other.page.close();
});

test("each price depends on the options; flex at 2K has none", async () => {
    const { page } = await openPage(browser, host);
    const prices = () => page.locator(".price").allTextContents();
    const choose = (name, value) => page.locator(`input[name="${name}"][value="${value}"]`).check({ force: true });
    assert.deepEqual(await prices(), ["about 10 credits", "about 6 credits", "about 10 credits", "about 20 credits"]);
    await choose("resolution", "2K");
    assert.deepEqual(await prices(), ["about 20 credits", "price not published", "about 10 credits", "about 20 credits"]);
    assert.equal(await page.textContent("#cost"), "about 20 credits");
    await choose("type", "flex");
    assert.deepEqual(await prices(), ["about 20 credits", "price not published", "about 6 credits", "price not published"]);
    assert.equal(await page.textContent("#cost"), "price not published");
    await page.close();
});

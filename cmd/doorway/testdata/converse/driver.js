// Drives a headless Chromium for a test: each line of standard input is a step
// in JSON, {page, open | eval | click | type + text | press | shot}, and is
// answered by a line {value} or {error}. What pages say on their consoles goes to
// standard error. The end of standard input ends the browser.
//
// usage: node driver.js FOLDER-OF-PLAYWRIGHT-CORE PATH-OF-CHROMIUM DOMAIN ADDRESS
// The domain is found on this machine, and its HTTPS at that address.
const readline = require("node:readline");
const { chromium } = require(process.argv[2]);

const limit = 30000; // ms, for what a step waits for
const pages = new Map();
let browser;

async function open(name, address) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: "en-GB", viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(limit);
  page.on("console", (m) => console.error(`${name}: ${m.text()}`));
  page.on("pageerror", (e) => console.error(`${name}: ${e}`));
  await page.goto(address);
  pages.set(name, page);
}

async function step(s) {
  if (s.open) return open(s.page, s.open);
  const page = pages.get(s.page);
  if (s.eval) return page.evaluate(s.eval);
  if (s.click) return page.locator(s.click).first().click();
  if (s.type) return page.locator(s.type).first().fill(s.text);
  if (s.press) return page.keyboard.press(s.press);
  if (s.shot) return void (await page.screenshot({ path: s.shot }));
  throw new Error("an unknown step");
}

async function main() {
  // No sandbox: tests run as root. Nothing but our own page is ever opened, and
  // no name beyond this machine is looked up.
  const [domain, address] = process.argv.slice(4);
  const names = `MAP ${domain}:443 ${address}, MAP ${domain} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`;
  const args = ["--no-sandbox", "--disable-dev-shm-usage", `--host-resolver-rules=${names}`];
  browser = await chromium.launch({ executablePath: process.argv[3], headless: true, args });
  console.log(JSON.stringify({ value: browser.version() }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try {
      answer = { value: (await step(JSON.parse(line))) ?? null };
    } catch (e) {
      answer = { error: String(e) };
    }
    console.log(JSON.stringify(answer));
  }
  await browser.close();
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});

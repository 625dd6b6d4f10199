"""Walks through the pages of signing in with Chromium, as a person does, and prints as JSON what it found on each.

Usage: browse-pages.py BROKER PROVIDER-PID [--without-script] [--screenshots DIR]

The provider is Tests/Peers/openid-provider.py, whose user alice is granted something and bob nothing; it is ended on
the way. Each page is looked at in light and dark, and at the width of a desk, of a phone and of 360 px: the contrast of
every text (WCAG 2.2, 1.4.3), whether anything is scrolled sideways, whether each control has a name and is reached by
the tabulator alone, what the console says, and whether any script is there.
"""

import argparse, base64, json, os, pathlib, re, signal, tempfile, urllib.error, urllib.parse, urllib.request

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

CONTRAST = """
const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
const parse = s => { const n = s.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c[3] === 1) return c; if (c[3] > 0) throw "half transparent"; } return [255, 255, 255, 1]; };
const found = [];
const look = (e, text) => { const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(behind(e))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text.trim().slice(0, 40)]); };
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) if (walker.currentNode.data.trim()) look(walker.currentNode.parentElement, walker.currentNode.data);
document.querySelectorAll("input[type=text]").forEach(e => look(e, "input"));
return found.sort((a, b) => a[0] - b[0]).slice(0, 1);
"""
CONTROLS = "a[href], button, input:not([type=hidden])"


class Walk:
    def __init__(self, broker, provider, without_script, screenshots):
        self.broker, self.provider, self.screenshots = broker, provider, screenshots
        self.pages, self.results = [], {}
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                         # Nothing leaves this machine.
                         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]:
            options.add_argument(argument)
        self.profile = tempfile.TemporaryDirectory()
        options.add_argument(f"--user-data-dir={self.profile.name}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.implicitly_wait(10)
        if without_script:
            self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})

    def end(self):
        self.driver.quit()
        self.profile.cleanup()

    # What a page is like.

    def show(self, scheme, width, height):
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})

    def look(self, name):
        driver = self.driver
        page = {"name": name, "title": driver.title, "lang": driver.find_element(By.TAG_NAME, "html").get_attribute("lang"),
                "headings": [h.tag_name for h in driver.find_elements(By.CSS_SELECTOR, "h1, h2, h3")],
                "scripts": driver.execute_script("return document.scripts.length"),
                "text": driver.find_element(By.TAG_NAME, "main").text}
        page["contrast"], page["scrolls"] = {}, []
        for scheme in ["light", "dark"]:
            for kind, width, height in [("desk", 1280, 800), ("phone", 390, 844), ("narrow", 360, 640)]:
                self.show(scheme, width, height)
                if driver.execute_script("return document.documentElement.scrollWidth > innerWidth"):
                    page["scrolls"].append(kind)
                if self.screenshots and kind != "narrow":
                    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
                    (self.screenshots / f"{name}-{kind}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
            page["contrast"][scheme] = driver.execute_script(CONTRAST)[0]
        self.show("light", 1280, 800)
        page["small"] = driver.execute_script(
            "return [...document.querySelectorAll('button, .button, input[type=text]')]"
            ".filter(e => e.getBoundingClientRect().height < 44).map(e => e.textContent)")
        page["unnamed"] = self.unnamed()
        page["unreached"] = self.unreached()
        # Of the broker's own, and but for its statuses.
        said = [entry["message"] for entry in driver.get_log("browser")]
        page["console"] = [m for m in said if m.startswith(self.broker) and "responded with a status of" not in m]
        self.pages.append(page)

    def unnamed(self):
        """The controls of the accessibility tree that have no name."""
        nodes = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        controls = [n for n in nodes if n.get("role", {}).get("value") in ("button", "link", "textbox", "checkbox")]
        return [n["role"]["value"] for n in controls if not n.get("name", {}).get("value")]

    def unreached(self):
        """The controls that the tabulator does not get to."""
        controls, reached = self.driver.find_elements(By.CSS_SELECTOR, CONTROLS), []
        self.driver.execute_script("document.activeElement.blur()")
        for _ in range(len(controls) + 2):
            webdriver.ActionChains(self.driver).send_keys(Keys.TAB).perform()
            reached.append(self.driver.switch_to.active_element)
        return [c.text or c.get_attribute("name") for c in controls if c not in reached]

    # What a person does.

    def go(self, act):
        """Returns when another page is there."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        act()
        self.until(lambda: self.is_gone(before))
        self.driver.find_element(By.TAG_NAME, "main")

    def is_gone(self, element):
        try:
            return not element.is_enabled()
        except WebDriverException:
            return True

    def press(self, words):
        for button in self.driver.find_elements(By.CSS_SELECTOR, "button, a"):
            if words in button.text:
                return self.go(button.click)
        raise AssertionError(f"no button {words!r} on {self.driver.current_url}: {self.driver.page_source}")

    def type(self, code):
        self.driver.get(self.broker + "/device")
        field = self.driver.find_element(By.ID, "code")
        self.go(lambda: field.send_keys(code, Keys.ENTER))

    def approve_as(self, name):
        self.until(lambda: "/oauth2/authorize" in self.driver.current_url)
        field = self.driver.find_element(By.NAME, "sub")
        self.go(lambda: field.send_keys(name, Keys.ENTER))
        self.until(lambda: self.driver.current_url.startswith(self.broker))

    def until(self, condition):
        WebDriverWait(self.driver, 20).until(lambda _: condition())

    def leaving(self):
        """Where the form goes next, without going: the browser would not stay for a picture."""
        form = {e.get_attribute("name"): e.get_attribute("value")
                for e in self.driver.find_elements(By.CSS_SELECTOR, "form input[type=hidden]")}
        cookies = "; ".join(f"{c['name']}={c['value']}" for c in self.driver.get_cookies())
        html = self.ask("/device", {**form, "step": "continue"}, {"Cookie": cookies})[1]
        page = re.sub("<meta http-equiv[^>]*>", "", html)
        self.driver.get("data:text/html;base64," + base64.b64encode(page.encode()).decode())
        self.look("leaving")

    # What the device does.

    def ask(self, path, form=None, headers={}):
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(urllib.request.Request(self.broker + path, data, headers)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def device(self, name="laptop", surface="claude_code"):
        status, body = self.ask("/oauth/device_authorization", {"surface": surface, "device_name": name},
                                {"User-Agent": "claude-code/2.1.330"})
        return json.loads(body)

    def poll(self, device):
        status, body = self.ask("/oauth/token", {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device["device_code"]})
        return status, json.loads(body)

    def verify(self, token):
        return self.ask("/verify?scope=anthropic:messages", None, {"Authorization": f"Bearer {token}"})[0]

    def refresh(self, token):
        return self.ask("/oauth/token", {"grant_type": "refresh_token", "refresh_token": token})[0]

    # The way.

    def sign_in(self, device, name="alice"):
        self.type(device["user_code"])
        self.press("Yes")
        self.approve_as(name)

    def walk(self):
        results, device = self.results, self.device("laptop")
        self.driver.get(self.broker + "/device")
        heads = [urllib.request.Request(self.broker + path, method="HEAD") for path in ("/device", "/sessions")]
        results["heads"] = [len(urllib.request.urlopen(request).read()) for request in heads]
        results["frames"] = urllib.request.urlopen(self.broker + "/device").headers["X-Frame-Options"]
        results["oversized"] = self.ask("/device", None, {"Cookie": "a=" + "x" * 70_000})[0]
        results["policy"] = urllib.request.urlopen(self.broker + "/device").headers["Content-Security-Policy"]
        results["focus"] = self.driver.switch_to.active_element.tag_name
        self.look("typing")
        self.type("BBBB-BBBB")
        self.look("wrong-code")
        self.type(device["user_code"].lower().replace("-", " "))
        self.look("confirming")
        self.leaving()
        self.type(device["user_code"])
        self.press("Yes")
        self.approve_as("alice")
        self.look("signed-in")
        self.driver.refresh()
        self.look("signed-in-again")
        status, tokens = self.poll(device)
        results["polled"], results["email"] = status, tokens.get("email")
        results["verified"] = self.verify(tokens["access_token"])

        # A device that makes itself long, and as if it were written from right to left.
        self.type(self.device("\u202e" + "W" * 64, "\u202eevil " + "x" * 60)["user_code"])
        self.look("confirming-long")
        self.press("No")
        self.look("refused")

        device = self.device("tablet")
        self.sign_in(device, "bob")
        self.look("nothing-granted")
        results["denied"] = self.poll(device)[1].get("error")

        device = self.device("build-host", "daypass")
        self.type(device["user_code"])
        self.press("Yes")
        self.until(lambda: "/oauth2/authorize" in self.driver.current_url)
        self.press("Deny")
        self.until(lambda: self.driver.current_url.startswith(self.broker))
        self.look("denied-at-the-provider")

        others = [self.device("W" * 64, "daypass"), self.device("workstation")]
        more = []
        for other in others:
            self.sign_in(other)
            more.append(self.poll(other)[1])

        self.driver.get(self.broker + "/sessions")
        self.look("sessions-invitation")
        self.press("Sign in")
        self.approve_as("alice")
        self.look("sessions")
        results["sections"] = len(self.driver.find_elements(By.TAG_NAME, "section"))
        last = self.driver.find_elements(By.CSS_SELECTOR, "section button")[-1]
        self.go(last.click)
        self.look("session-ended")
        results["ended"] = [self.verify(tokens["access_token"]), self.refresh(tokens["refresh_token"])]
        results["others"] = [self.verify(t["access_token"]) for t in more]
        self.press("End all")
        self.look("sessions-none")
        results["all_ended"] = [self.verify(t["access_token"]) for t in more]
        self.press("Leave")
        self.look("sessions-left")

        device = self.device("laptop")
        self.type(device["user_code"])
        self.press("Yes")
        self.until(lambda: "/oauth2/authorize" in self.driver.current_url)
        state = urllib.parse.parse_qs(urllib.parse.urlparse(self.driver.current_url).query)["state"][0]
        os.kill(self.provider, signal.SIGKILL)
        self.driver.get(f"{self.broker}/oauth/callback?code=abc&state={urllib.parse.quote(state)}")
        self.look("provider-unavailable")
        self.driver.get(f"{self.broker}/oauth/callback?code=abc&state=foreign")
        self.look("not-begun-here")
        for _ in range(10):
            self.type("BBBB-BBBB")
        self.look("too-many-codes")


parser = argparse.ArgumentParser()
parser.add_argument("broker")
parser.add_argument("provider", type=int)
parser.add_argument("--without-script", action="store_true")
parser.add_argument("--screenshots", type=pathlib.Path)
arguments = parser.parse_args()
if arguments.screenshots:
    arguments.screenshots.mkdir(parents=True, exist_ok=True)
walk = Walk(arguments.broker, arguments.provider, arguments.without_script, arguments.screenshots)
try:
    walk.walk()
    print(json.dumps({"pages": walk.pages, "results": walk.results}))
finally:
    walk.end()

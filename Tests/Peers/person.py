"""A person with a browser who approves a device: types the code on the broker's page, says yes, and signs in at the provider.

Usage: person.py PAGE CODE mock USER                   at oidc-provider-mock, whose page asks for no more than a name
       person.py PAGE CODE glewlwyd USER PASSWORD      at glewlwyd, by the calls that its page's script makes
With --refuse the person says no on the broker's page, with --deny at the provider's; with --stop=PID the process with that id,
the provider's, is stopped just before the browser comes back to the broker.
Prints the headings and the text of the last page. Follows forms, redirects and refreshes as a browser does: with cookies, with
Origin and Sec-Fetch-Site, and no further than it is led.
"""

import html.parser
import http.cookiejar
import json
import os
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request


class Page(html.parser.HTMLParser):
    """What of a page matters to somebody who fills it in."""

    def __init__(self, url, status, text):
        super().__init__()
        self.url, self.status, self.source = url, status, text
        self.forms, self.links, self.refresh, self.texts = [], [], None, []
        self.hidden = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        match tag:
            case "form":
                self.forms.append({"action": known.get("action") or self.url, "fields": {}, "buttons": []})
            case "input" if self.forms and known.get("name"):
                self.forms[-1]["fields"][known["name"]] = known.get("value", "")
            case "button" if self.forms:
                self.forms[-1]["buttons"].append((known.get("name"), known.get("value", "")))
            case "meta" if known.get("http-equiv", "").lower() == "refresh":
                self.refresh = known["content"].split("url=", 1)[1]
            case "style" | "script" | "title":
                self.hidden = True

    def handle_endtag(self, tag):
        if tag in ("style", "script", "title"):
            self.hidden = False

    def handle_data(self, data):
        if not self.hidden and data.strip():
            self.texts.append(" ".join(data.split()))

    def form(self, field):
        """The first form with this field, or with a button of this name."""
        for form in self.forms:
            if field in form["fields"] or any(name == field for name, _ in form["buttons"]):
                return form
        raise SystemExit(f"{self.url} ({self.status}) has no form with {field}: {' / '.join(self.texts)}")


class Return(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, url):
        if stops and "/oauth/callback?" in url:
            os.kill(stops, signal.SIGSTOP)
        return super().redirect_request(request, file, code, message, headers, url)


class Browser:
    def __init__(self):
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies), Return())

    def send(self, url, data=None, method=None, headers={}):
        request = urllib.request.Request(url, data, {"User-Agent": "Mozilla/5.0", **headers}, method=method)
        try:
            return self.opener.open(request, timeout=60)
        except urllib.error.HTTPError as error:
            return error

    def page(self, url, data=None, headers={}):
        """Follows redirects, and a page that goes on by itself."""
        for _ in range(10):
            with self.send(url, data, headers=headers) as answer:
                page = Page(answer.url, answer.status, answer.read().decode())
            if page.refresh is None:
                return page
            url, data, headers = urllib.parse.urljoin(page.url, page.refresh), None, {}
        raise SystemExit("it goes on and on")

    def submit(self, page, form, values, button=None):
        fields = {**form["fields"], **values, **(dict([button]) if button else {})}
        url = urllib.parse.urljoin(page.url, form["action"])
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(page.url))
        return self.page(
            url, urllib.parse.urlencode(fields).encode(), {"Origin": origin, "Sec-Fetch-Site": "same-origin"})


def at_mock(browser, page, user):
    if denies:
        return browser.submit(page, page.form("action"), {}, ("action", "deny"))
    return browser.submit(page, page.form("sub"), {"sub": user})


def at_glewlwyd(browser, page, user, password):
    """Its page is a script, which signs in over the provider's own interface and then goes back to where it came from."""
    asked = urllib.parse.urlsplit(page.url)
    origin = f"{asked.scheme}://{asked.netloc}"
    query = dict(urllib.parse.parse_qsl(asked.query))

    def call(method, path, body):
        with browser.send(origin + path, json.dumps(body).encode(), method, {"Content-Type": "application/json"}) as answer:
            if answer.status != 200:
                raise SystemExit(f"glewlwyd: {path}: {answer.status}: {answer.read().decode()}")

    call("POST", "/api/auth/", {"username": user, "password": password})
    call("PUT", f"/api/auth/grant/{query['client_id']}/", {"scope": query["scope"]})
    return browser.page(query["callback_url"] + "&g_continue")


arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
refuses, denies = "--refuse" in sys.argv, "--deny" in sys.argv
stops = next((int(argument[7:]) for argument in sys.argv if argument.startswith("--stop=")), None)
address, code, provider, *who = arguments
browser = Browser()
page = browser.page(address)
page = browser.submit(page, page.form("user_code"), {"user_code": code})
form = page.form("step")
page = browser.submit(page, form, {}, ("step", "refuse" if refuses else "continue"))
if not refuses and page.url.startswith("http") and urllib.parse.urlsplit(page.url).netloc != urllib.parse.urlsplit(
    address).netloc:
    page = {"mock": at_mock, "glewlwyd": at_glewlwyd}[provider](browser, page, *who)
print(page.status, *page.texts, sep="\n")

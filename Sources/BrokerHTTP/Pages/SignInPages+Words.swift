import Broker
import HTTPTypes
import JOSE

extension SignInPages {
    /// What is said above the field for the code.
    enum Problem {
        case wrongCode, oldForm

        fileprivate var words: String {
            switch self {
            case .wrongCode: "No device waits with that code. Check it on your device, or start again there."
            case .oldForm: "This form was too old. Type the code once more."
            }
        }
    }

    static func typing(proof: String, _ problem: Problem?) -> Page {
        let said: HTML = problem.map { "<p class=\"bad\" role=\"alert\" id=\"problem\">\($0.words)</p>" } ?? ""
        let described: HTML = problem == nil ? "" : " aria-invalid=\"true\" aria-describedby=\"problem\""
        return Page(
            title: "Sign in a device",
            body: """
                \(said)<form method="post" action="/device" autocomplete="off">
                <input type="hidden" name="form" value="\(proof)">
                <label for="code">The code that your device shows</label>
                <input type="text" id="code" name="user_code" required maxlength="32" autocapitalize="characters" \
                autocorrect="off" spellcheck="false" placeholder="XXXX-XXXX"\(described)>
                <button type="submit">Continue</button>
                </form>
                """,
            status: problem == nil ? .ok : .badRequest)
    }

    /// - Parameter age: since the device asked.
    static func confirming(_ device: PendingDevice, age: Duration, proof: String, provider: IssuerName) -> Page {
        let minutes = Int(age.components.seconds / 60)
        let asked = minutes < 1 ? "less than a minute ago" : minutes == 1 ? "a minute ago" : "\(minutes) minutes ago"
        let named: HTML = device.device.name.map { "<dt>Device</dt><dd>\($0.string)</dd>" } ?? ""
        let agent: HTML = device.device.userAgent.map { "<dt>Calls itself</dt><dd>\($0.string)</dd>" } ?? ""
        return Page(
            title: "Is this your device?",
            body: """
                <dl>
                <dt>Code</dt><dd class="code">\(device.userCode.text)</dd>
                <dt>Program</dt><dd>\(program(device.device))</dd>
                \(named)\(agent)<dt>From the address</dt><dd>\(device.address.text)</dd>
                <dt>Asked</dt><dd>\(asked)</dd>
                </dl>
                <p>It will be able to act as you, with everything that your company lets your account do here. \
                Nobody has checked what it says of itself.</p>
                <p class="bad">Continue only if you started this yourself, just now. Never use a code that somebody \
                sent you.</p>
                <form method="post" action="/device">
                <input type="hidden" name="form" value="\(proof)">
                <input type="hidden" name="user_code" value="\(device.userCode.text)">
                <button type="submit" name="step" value="continue">Yes: sign in at \(provider.text)</button>
                <button type="submit" name="step" value="refuse" class="second">No: refuse it</button>
                </form>
                """)
    }

    static func leaving(for url: String) -> Page {
        Page(
            title: "Going to your company’s sign-in",
            body: """
                <p>If nothing happens, use this link.</p>
                <a class="button" href="\(url)" rel="noreferrer">Sign in</a>
                """,
            next: url)
    }

    static func signedIn(
        _ person: ExactString, on device: PendingDevice, _ grant: Grant, _ trace: TraceID
    ) -> Page {
        let scope = grant.scope.map { scope -> HTML in "<dd>\(scope.text.string)</dd>" }
        let patterns = grant.models?.map(\.pattern.string).joined(separator: ", ")
        let models: HTML = patterns.map { "<dt>Models</dt><dd>\($0)</dd>" } ?? ""
        return Page(
            title: "Signed in",
            body: """
                <p role="status">\(program(device.device)) is signed in as <strong>\(person.string)</strong>. \
                You can close this page and go back to your device.</p>
                <dl>
                <dt>It can use</dt>\(scope)
                \(models)<dt>By the rule</dt><dd>\(grant.rule.string)</dd>
                <dt>For</dt><dd>\(words(grant.maximumSession)) at the longest</dd>
                </dl>
                \(reference(trace))
                """)
    }

    static let refusedByPerson = Page(
        title: "Refused",
        body: "<p role=\"status\">The device gets nothing. You can close this page.</p>")

    static func over(_ trace: TraceID) -> Page {
        message(
            "That code is over",
            "No device waits with it any more: it was approved or refused already, or took too long. Start again on "
                + "your device.", .gone, trace)
    }

    static func tooManyCodes(_ trace: TraceID) -> Page {
        message(
            "Too many wrong codes",
            "Too many wrong codes were typed from your network. Try again in an hour.", .tooManyRequests, trace)
    }

    static func nothingGranted(to person: ExactString, _ trace: TraceID) -> Page {
        message(
            "Nothing is granted to you",
            "You are signed in as \(person), but no rule here grants this account anything. Ask whoever runs Daypass in "
                + "your company, and give them the reference below.", .forbidden, trace)
    }

    static func providerUnavailable(_ trace: TraceID) -> Page {
        message(
            "Your company’s sign-in does not answer",
            "Nothing is wrong with your code: type it again in a minute.", .serviceUnavailable, trace)
    }

    static func unavailable(_ trace: TraceID) -> Page {
        message("Not possible at the moment", "Try again in a minute.", .serviceUnavailable, trace)
    }

    static func busy(_ trace: TraceID) -> Page {
        message("Too much at once", "Try again in a moment.", .tooManyRequests, trace)
    }

    static func foreign(_ trace: TraceID) -> Page {
        message(
            "That did not come from this page",
            "Open the address that your device shows, and type the code there.", .forbidden, trace)
    }

    static func refused(_ failure: AuthorizationFailure, _ trace: TraceID) -> Page {
        switch failure {
        case .state:
            message(
                "This sign-in was not begun here",
                "It was begun in another browser, or more than ten minutes ago. Type the code of your device again.",
                .badRequest, trace)
        case .denied:
            message("Refused", "Your company’s sign-in was refused; the device gets nothing.", .forbidden, trace)
        case .code:
            message(
                "This sign-in was used before", "Type the code of your device again.", .badRequest, trace)
        case .unavailable: providerUnavailable(trace)
        case .issuer, .answered, .noCode, .idToken:
            message(
                "Your company’s sign-in gave an answer that proves nothing",
                "Type the code of your device again. If that does not help, ask whoever runs Daypass in your company, "
                    + "and give them the reference below.", .badGateway, trace)
        }
    }

    private static func message(
        _ title: String, _ words: String, _ status: HTTPResponse.Status, _ trace: TraceID
    ) -> Page {
        Page(
            title: title,
            body: """
                <p role="alert">\(words)</p>
                <a class="button" href="/device">Type a code</a>
                \(reference(trace))
                """,
            status: status)
    }

    private static func reference(_ trace: TraceID) -> HTML {
        "<p class=\"trace\">Reference: \(trace.description)</p>"
    }

    private static func program(_ device: DeviceDescription) -> String {
        switch device.surface {
        case "claude_code": "Claude Code"
        case "daypass": "The command daypass"
        case let other?: other.string
        case nil: "A program that does not say what it is"
        }
    }

    private static func words(_ duration: Duration) -> String {
        let minutes = Int(duration.components.seconds / 60)
        let (hours, rest) = (minutes / 60, minutes % 60)
        let minutesText = rest == 1 ? "1 minute" : "\(rest) minutes"
        guard hours > 0 else { return minutesText }
        let hoursText = hours == 1 ? "1 hour" : "\(hours) hours"
        return rest == 0 ? hoursText : "\(hoursText) and \(minutesText)"
    }
}

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
        let invalid: HTML = problem == nil ? "" : " aria-invalid=\"true\""
        return Page(
            title: "Sign in a device",
            body: """
                \(said)<form method="post" action="/device" autocomplete="off">
                <input type="hidden" name="form" value="\(proof)">
                <label for="code">Code from your device</label>
                <p class="hint" id="hint">Eight letters, such as BCDF-GHJK.</p>
                <input type="text" id="code" name="user_code" required maxlength="32" inputmode="text" \
                autocapitalize="characters" autocorrect="off" spellcheck="false" autofocus \
                aria-describedby="\(problem == nil ? "hint" : "problem hint")"\(invalid)>
                <button type="submit">Continue</button>
                </form>
                <p class="foot"><a href="/sessions">See and end where you are signed in</a></p>
                """,
            status: problem == nil ? .ok : .badRequest, isProblem: problem != nil)
    }

    /// - Parameters:
    ///   - age: since the device asked.
    ///   - largest: what somebody of this provider may give it at most.
    static func confirming(
        _ device: PendingDevice, age: Duration, _ known: KnownCode, provider: IssuerName, _ largest: LargestGrant?
    ) -> Page {
        let asked = age < .seconds(60) ? "less than a minute ago" : "\(words(age)) ago"
        let named: HTML = device.device.name.map { "<dt>Device</dt><dd>\($0)</dd>" } ?? ""
        let agent: HTML = device.device.userAgent.map { "<dt>Calls itself</dt><dd>\($0)</dd>" } ?? ""
        return Page(
            title: "Is this your device?",
            body: """
                <dl>
                <dt>Code</dt><dd class="code">\(device.userCode.text)</dd>
                <dt>Program</dt><dd>\(program(device.device))</dd>
                \(named)\(agent)<dt>Address</dt><dd>\(device.address.text)</dd>
                <dt>Asked</dt><dd>\(asked)</dd>
                </dl>
                \(permissions(largest))
                <p class="warning"><strong>Continue only if you started this yourself, just now.</strong> Nobody has \
                checked what the device says of itself. Never use a code that somebody sent you.</p>
                \(form(known, "Yes, sign in at \(provider.text)", refusing: "No, refuse it"))
                """)
    }

    private static func permissions(_ largest: LargestGrant?) -> HTML {
        guard let largest else {
            return """
                <h2>What it will be able to do</h2>
                <p>Nothing: at present no rule here lets anybody of your company use a device.</p>
                """
        }
        return """
            <h2>What it will be able to do</h2>
            <p>It will act as you. Depending on your account, at most:</p>
            <dl>
            \(use(largest.scope, largest.models))
            <dt>For</dt><dd>up to \(words(largest.maximumSession))</dd>
            </dl>
            """
    }

    /// So many of a list are shown.
    private static let shownAtMost = 12

    private static func use(_ scope: [Scope], _ models: [ExactString]?) -> HTML {
        let models: HTML = models.map { "<dt>Models</dt>\(items($0))" } ?? ""
        return "<dt>Use</dt>\(items(scope.map(\.text)))\(models)"
    }

    private static func items(_ texts: [ExactString]) -> HTML {
        let rest = texts.count - shownAtMost
        let more: HTML = rest > 0 ? "<dd>and \("\(rest)") more</dd>" : ""
        return "\(texts.prefix(shownAtMost).map { text -> HTML in "<dd><code>\(text)</code></dd>" })\(more)"
    }

    /// A form that goes on with a code, or refuses it.
    private static func form(_ known: KnownCode, _ words: String, refusing: String) -> HTML {
        """
        <form method="post" action="/device">
        <input type="hidden" name="form" value="\(known.proof)">
        <input type="hidden" name="user_code" value="\(known.code.text)">
        <button type="submit" name="step" value="continue">\(words)</button>
        <button type="submit" name="step" value="refuse" class="second">\(refusing)</button>
        </form>
        """
    }

    static func leaving(for url: String, _ purpose: BrowserBinding.Purpose) -> Page {
        let after =
            switch purpose {
            case .device: "Your device is signed in once you come back."
            case .sessions: "Your sessions are shown once you come back."
            }
        return Page(
            title: "Going to your company’s sign-in",
            body: """
                <p>\(after) If nothing happens, use this button.</p>
                <a class="button" href="\(url)" rel="noreferrer">Sign in</a>
                """,
            next: url)
    }

    static func signedIn(_ person: ExactString, on device: PendingDevice, _ grant: Grant) -> Page {
        let named = device.device.name.map { " on \($0)" } ?? ""
        return Page(
            title: "Signed in",
            body: """
                <p role="status"><strong>\(program(device.device))\(named)</strong> is signed in as \
                <strong>\(person)</strong>. You can close this page and go back to your device.</p>
                <h2>What it can do</h2>
                <dl>
                \(use(grant.scope, grant.models?.map(\.pattern)))
                <dt>For</dt><dd>up to \(words(grant.maximumSession))</dd>
                <dt>By the rule</dt><dd>\(grant.rule)</dd>
                </dl>
                <p class="foot"><a href="/sessions">See and end where you are signed in</a></p>
                """)
    }

    static let signedInBefore = Page(
        title: "Signed in already",
        body: """
            <p role="status">This sign-in is done. You can close this page and go back to your device.</p>
            <p class="foot"><a href="/sessions">See and end where you are signed in</a></p>
            """)

    static func refusedByPerson(_ trace: TraceID) -> Page {
        Page(
            title: "Refused",
            body: """
                <p role="status">The device gets nothing. You can close this page. If somebody sent you that code, tell \
                whoever runs Daypass in your company, and give them the reference below.</p>
                \(reference(trace))
                """)
    }

    static func beingFinished(_ trace: TraceID) -> Page {
        message(
            "This sign-in is being finished",
            "It was loaded before, and your company’s sign-in is being asked. Wait a moment, then look again.",
            .conflict,
            trace, .again)
    }

    static func signedOutMeanwhile(_ trace: TraceID, _ way: Way) -> Page {
        message(
            "You were signed out meanwhile",
            "Your company’s sign-in says that you were signed out there. Nothing was done here. If you did not expect "
                + "that, ask whoever runs it; else sign in once more.", .forbidden, trace, way)
    }

    static func over(_ trace: TraceID) -> Page {
        message(
            "That code is over",
            "No device waits with it any more: it was approved or refused already, or took too long. Start again on "
                + "your device.", .gone, trace)
    }

    static func overBefore(_ trace: TraceID) -> Page {
        message(
            "This sign-in is over",
            "It was used already. If your device still waits, type its code again.", .gone, trace)
    }

    static func tooManyCodes(_ trace: TraceID) -> Page {
        var page = message(
            "Too many wrong codes",
            "Too many wrong codes were typed from your network. Try again in an hour.", .tooManyRequests, trace, .none)
        page.retryAfter = 3600
        return page
    }

    static func nothingGranted(to person: ExactString, _ trace: TraceID) -> Page {
        message(
            "Nothing is granted to you",
            "You are signed in as \(person), but no rule here grants this account anything, so the device gets "
                + "nothing. Ask whoever runs Daypass in your company, and give them the reference below.",
            .forbidden, trace, .none)
    }

    static func providerUnavailable(_ trace: TraceID, _ way: Way) -> Page {
        message(
            "Your company’s sign-in cannot be reached",
            "Nothing is wrong with what you did. Try again in a minute. \(help)", .serviceUnavailable, trace, way)
    }

    /// The code may have been used: to load the same address again is of no use.
    static func providerSilent(_ trace: TraceID, _ way: Way) -> Page {
        let next =
            switch way {
            case .sessions: "This page cannot be loaded again: begin once more in a minute."
            default: "Loading this page again is of no use. Your device still waits: start again with its code."
            }
        return message(
            "Your company’s sign-in did not answer",
            "It cannot be reached, takes too long, or does not answer as it should. Nothing is wrong with what you did. "
                + "\(next) \(help)", .serviceUnavailable, trace, way)
    }

    private static let help =
        "If that does not help, ask whoever runs Daypass in your company, and give them the reference below."

    static func unavailable(_ trace: TraceID, _ way: Way = .code) -> Page {
        message("Not possible at the moment", "Try again in a minute.", .serviceUnavailable, trace, way)
    }

    static func busy(_ trace: TraceID) -> Page {
        message(
            "Too much at once", "Wait a moment, then reload this page.", .tooManyRequests, trace, .none)
    }

    static func foreign(_ trace: TraceID) -> Page {
        message(
            "That did not come from this page",
            "Nothing was done. Open the address that your device shows, and type the code there.", .forbidden, trace)
    }

    static func refused(_ failure: AuthorizationFailure, _ trace: TraceID, _ way: Way) -> Page {
        switch failure {
        case .state:
            message(
                "This sign-in was not begun here",
                "It was begun in another browser, or more than ten minutes ago. If you are signing in a device, type its "
                    + "code again.", .badRequest, trace)
        case .denied:
            if case .sessions = way {
                message("Refused", "Your company’s sign-in was refused.", .forbidden, trace, way)
            } else {
                message(
                    "Refused", "Your company’s sign-in was refused. The device gets nothing.", .forbidden, trace, .none)
            }
        case .code:
            message(
                "This sign-in took too long, or was used before", "Sign in once more.", .badRequest, trace, way)
        case .unavailable: providerUnavailable(trace, way)
        case .issuer, .answered, .noCode, .idToken:
            message(
                "Your company’s sign-in gave an answer that proves nothing",
                "Sign in once more. \(help)", .badGateway, trace, way)
        }
    }

    static func refusedWithoutState(_ trace: TraceID, _ way: Way) -> Page {
        message(
            "Not signed in",
            "Your company’s sign-in was refused, or failed. Nobody was signed in. A device that waits still waits.",
            .forbidden, trace, way)
    }

    /// How somebody goes on from a page on which something did not work.
    enum Way {
        case none
        /// With a code, from the beginning.
        case code
        /// With the code that he typed.
        case device(KnownCode)
        case sessions
        /// By the same address.
        case again
    }

    static func message(
        _ title: String, _ words: String, _ status: HTTPResponse.Status, _ trace: TraceID, _ way: Way = .code
    ) -> Page {
        let next: HTML =
            switch way {
            case .none: ""
            case .code: "<a class=\"button\" href=\"/device\">Type a code</a>"
            case .device(let known): form(known, "Try again", refusing: "Refuse the device")
            case .sessions: "<a class=\"button\" href=\"/sessions\">To your sessions</a>"
            case .again: "<a class=\"button\" href=\"\">Look again</a>"
            }
        return Page(
            title: title,
            body: """
                <p role="alert">\(words)</p>
                \(next)
                \(reference(trace))
                """,
            status: status, isProblem: true)
    }

    static func reference(_ trace: TraceID) -> HTML {
        "<p class=\"trace\">Reference: \(trace.description)</p>"
    }

    static func program(_ device: DeviceDescription) -> String {
        switch device.surface {
        case "claude_code": "Claude Code"
        case "daypass": "daypass"
        case let other?: other.string
        case nil: "A program without a name"
        }
    }

    /// In minutes; a day at most.
    static func words(_ duration: Duration) -> String {
        let minutes = Int(duration.components.seconds / 60)
        let (hours, rest) = (minutes / 60, minutes % 60)
        let minutesText = rest == 1 ? "1 minute" : "\(rest) minutes"
        guard hours > 0 else { return minutesText }
        let hoursText = hours == 1 ? "1 hour" : "\(hours) hours"
        return rest == 0 ? hoursText : "\(hoursText) and \(minutesText)"
    }
}

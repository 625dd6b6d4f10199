import Broker
import FoundationEssentials
import HTTPTypes
import JOSE

// What the page of one's own sessions looks like.
extension SignInPages {
    /// What is said above the sessions.
    enum SessionNotice {
        case ended(Int), nothingToEnd, oldForm, visitOver

        fileprivate var html: HTML {
            switch self {
            case .ended(let count):
                """
                <p class="good" role="status">\(count == 1 ? "The session has ended." : "\(count) sessions have ended.")</p>
                """
            case .nothingToEnd:
                "<p class=\"bad\" role=\"alert\">That session has ended already, or is not yours.</p>"
            case .oldForm: "<p class=\"bad\" role=\"alert\">This form was too old. Choose once more.</p>"
            case .visitOver:
                """
                <p class="bad" role="alert">Nothing was done: you are not signed in on this page any more. That lasts for \
                15 minutes, and ends when you leave the page or are signed out at your company’s sign-in.</p>
                """
            }
        }

        fileprivate var isProblem: Bool { if case .ended = self { false } else { true } }
    }

    /// For whoever is not signed in on this page.
    static func invitation(proof: String, provider: IssuerName, _ notice: SessionNotice?) -> Page {
        Page(
            title: "Your sessions",
            body: """
                \(notice?.html ?? "")<p>See on which devices you are signed in, and end what you no longer use or do not \
                recognise.</p>
                <form method="post" action="/sessions">
                <input type="hidden" name="form" value="\(proof)">
                <button type="submit" name="step" value="sign-in">Sign in at \(provider.text)</button>
                </form>
                """,
            status: notice == nil ? .ok : .forbidden, isProblem: notice != nil)
    }

    static let left = Page(
        title: "You have left this page",
        body: """
            <p role="status">Your devices stay signed in. You may still be signed in at your company’s sign-in.</p>
            <a class="button" href="/sessions">Your sessions</a>
            """)

    static func sessions(
        _ sessions: [OwnSession], of person: ExactString, proof: String, _ notice: SessionNotice?, at now: Date
    ) -> Page {
        let shown = sessions.prefix(100).enumerated().map { session($1, number: $0 + 1, proof: proof, at: now) }
        let rest = sessions.count - shown.count
        let more: HTML = rest > 0 ? "<p>And \("\(rest)") more.</p>" : ""
        let all: HTML =
            sessions.count > 1
            ? """
            <button type="submit" name="step" value="end-all" class="danger">End all \("\(sessions.count)") sessions</button>
            """
            : ""
        let words: HTML =
            sessions.isEmpty
            ? "You are not signed in on any device."
            : "A session that you end is refused everywhere at once; that device has to sign in again."
        return Page(
            title: "Your sessions",
            body: """
                \(notice?.html ?? "")<p>You are <strong>\(person)</strong>. \(words)</p>
                \(shown)\(more)<form method="post" action="/sessions">
                <input type="hidden" name="form" value="\(proof)">
                \(all)<button type="submit" name="step" value="leave" class="second">Leave this page</button>
                </form>
                """,
            status: notice?.isProblem == true ? .badRequest : .ok, isProblem: notice?.isProblem == true)
    }

    private static func session(_ session: OwnSession, number: Int, proof: String, at now: Date) -> HTML {
        let (record, device) = (session.record, session.device)
        let name = program(device) + (device.name.map { " on \($0)" } ?? "")
        let used: HTML = session.lastUsed.map { "<dt>Last used</dt><dd>\(time($0)) (\(ago($0, now)))</dd>" } ?? ""
        let ends = Duration.seconds(record.end.timeIntervalSince(now))
        let id = "session-\(number)"
        return """
            <section aria-labelledby="\(id)">
            <h2 id="\(id)">\(name)</h2>
            <dl>
            <dt>Since</dt><dd>\(time(record.start)) (\(ago(record.start, now)))</dd>
            \(used)<dt>Ends</dt><dd>\(time(record.end)) (in \(about(ends)))</dd>
            <dt>Rule</dt><dd>\(record.rule)</dd>
            </dl>
            <form method="post" action="/sessions">
            <input type="hidden" name="form" value="\(proof)">
            <input type="hidden" name="session" value="\(record.id)">
            <button type="submit" name="step" value="end" class="second" aria-label="End this session: \(name)">End this \
            session</button>
            </form>
            </section>
            """
    }

    /// To the minute: where the reader is, is not known here.
    private static func time(_ date: Date) -> HTML {
        let text = date.ISO8601Format()
        return
            "<time datetime=\"\(text)\">\(String(text.prefix(16)).split(separator: "T").joined(separator: " ")) UTC</time>"
    }

    private static func ago(_ date: Date, _ now: Date) -> String {
        let age = Duration.seconds(now.timeIntervalSince(date))
        return age < .seconds(60) ? "just now" : "\(about(age)) ago"
    }

    /// From an hour and a half on to the hour.
    private static func about(_ duration: Duration) -> String {
        guard duration >= .seconds(5400) else { return words(duration) }
        return words(.seconds((duration.components.seconds + 1800) / 3600 * 3600))
    }
}

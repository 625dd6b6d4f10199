import Broker
import JOSE

/// What the demonstration does with the running server, and what it says about it.
struct DemoTour: Sendable {
    let issuer: DemoIssuer
    let client: DemoClient
    let store: any AuditReader

    static let scope = "anthropic:messages"

    func run() async throws {
        say(
            "A broker is listening on \(client.origin). It trusts an issuer, shaped like GitHub Actions, and the SPIFFE"
        )
        say("trust domain \(DemoTrustDomain.name), and has two rules:")
        say("  ci-main: repository_id 123456 on refs/heads/main gets tokens of 15 minutes in a session of 6 hours")
        say(
            "  ml-workloads: spiffe://\(DemoTrustDomain.name)/ns/ml/sa/* gets tokens of 30 minutes, bound to its certificate"
        )

        say("\n1. A CI job on main exchanges its identity token:  POST /oauth/token")
        let identity = try issuer.token(branch: "main")
        let granted = try await client.exchange(identity)
        let (token, session) = try Self.issued(granted)
        say("   \(granted.status): a gateway token for \(Self.text(granted.json, "scope")), in session \(session)")

        say("\n2. A gateway asks whether the token may pass:  GET /verify?scope=\(Self.scope)")
        let allowed = try await client.verify(token, scope: Self.scope)
        say("   \(allowed.status): Daypass-Subject: \(allowed.text("Daypass-Subject"))")

        say("\n3. The same token with one character changed:")
        let tampered = try await client.verify(Self.tampered(token), scope: Self.scope)
        say("   \(tampered.status): \(tampered.text("WWW-Authenticate"))")

        say("\n4. A second process of the job exchanges the same identity token (32 times at most):")
        let again = try await client.exchange(identity)
        say("   \(again.status): another token, \(try Self.place(again, beside: session))")

        say("\n5. The token is renewed before it ends, and is its own proof:")
        let renewed = try await client.exchange(token, type: "access_token")
        say("   \(renewed.status): a new token, \(try Self.place(renewed, beside: session))")

        say("\n6. The job makes a token for a sub-agent, with less than it has:  scope=\(Self.scope)")
        let narrowed = try await client.exchange(token, type: "access_token", scope: Self.scope)
        let (child, childSession) = try Self.issued(narrowed)
        let childScope = Self.text(narrowed.json, "scope")
        say("   \(narrowed.status): a token for \(childScope) alone, in session \(childSession) below it")

        say("\n7. The sub-agent asks for more again:")
        let widened = try await client.exchange(
            child, type: "access_token", scope: "\(Self.scope) anthropic:count_tokens")
        say("   \(widened.status) \(Self.text(widened.json, "error")): what a token gave up does not come back")

        say("\n8. The same job on another branch:  POST /oauth/token")
        let refused = try await client.exchange(issuer.token(branch: "feature"))
        say("   \(refused.status) \(Self.text(refused.json, "error")): the caller learns no more than a trace id.")
        say("   What the broker recorded under that id:")
        for line in try await explanation(of: refused.text("Daypass-Trace-Id")) {
            say("   \(line)")
        }

        guard allowed.status == 200, tampered.status == 401, widened.status == 400, refused.status == 400
        else {
            throw CommandFailure("the broker did not answer as it should have")
        }
    }

    static func sayGoodbye() {
        print(
            """

            Next, with an issuer of yours:
              daypassd init     writes config/daypass.yaml, a master key and signing keys
              daypassd check    after you have changed the three marked lines
              daypassd serve
            """)
    }

    /// The token and the session of an answer that has them.
    static func issued(_ answer: DemoClient.Answer) throws -> (token: String, session: String) {
        guard answer.status == 200, let token = answer.json["access_token"]?.string,
            let session = answer.json["session_id"]?.string
        else { throw CommandFailure("the broker refused: \(answer.status)") }
        return (token.string, session.string)
    }

    private static func place(_ answer: DemoClient.Answer, beside session: String) throws -> String {
        try issued(answer).session == session ? "in the same session" : "in another session"
    }

    /// The first character of the signature is changed: its last might hold bits that mean nothing.
    private static func tampered(_ token: String) -> String {
        var parts = token.split(separator: ".").map(String.init)
        parts[2] = (parts[2].hasPrefix("A") ? "B" : "A") + parts[2].dropFirst()
        return parts.joined(separator: ".")
    }

    private func explanation(of trace: String) async throws -> [String] {
        guard let trace = TraceID(parsing: trace) else { throw CommandFailure("the answer has no trace id") }
        var lines: [String] = []
        for event in try await store.auditEvents(trace: trace) {
            lines.append("  \(event.kind.rawValue)  \(event.subject?.string ?? "")  \(event.reason ?? "")")
            for rule in event.details["explanation"]?.object?["rules"]?.array ?? [] {
                for miss in rule.object?["failed"]?.array ?? [] {
                    let got =
                        "  rule \(Self.text(rule, "rule")): \(Self.text(miss, "claim")) is \(Self.text(miss, "got")),"
                    let wanted = "wanted \(Self.text(miss, "wanted"))"
                    lines += got.count + wanted.count < 90 ? ["\(got) \(wanted)"] : [got, "    \(wanted)"]
                }
            }
        }
        return lines
    }

    private static func text(_ value: JSONValue, _ name: ExactString) -> String {
        value.object.map { text($0, name) } ?? ""
    }

    private static func text(_ object: JSONObject, _ name: ExactString) -> String {
        switch object[name] {
        case .string(let text): text.string
        case .array(let elements): elements.compactMap(\.string?.string).joined(separator: " or ")
        case nil: "missing"
        case .some(let other): String(decoding: other.encoded(), as: UTF8.self)
        }
    }

    private func say(_ line: String) {
        print(line)
    }
}

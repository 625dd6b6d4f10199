import AsyncHTTPClient
import Broker
import Foundation
import JOSE
import NIOCore
import NIOHTTP1

/// What the demonstration does with the running server, and what it says about it.
struct DemoTour: Sendable {
    let issuer: DemoIssuer
    let origin: String
    let store: any AuditReader

    private static let scope = "anthropic:messages"

    func run() async throws {
        say("A broker is listening on \(origin). It trusts one issuer, shaped like GitHub Actions, and has one rule:")
        say("  ci-main: repository_id 123456 on refs/heads/main gets the scope \(Self.scope) for 15 minutes")

        say("\n1. A CI job on main exchanges its identity token:  POST /oauth/token")
        let granted = try await exchange(issuer.token(branch: "main"))
        guard granted.status == 200, let token = granted.json["access_token"]?.string else {
            throw CommandFailure("the exchange was refused: \(granted.status)")
        }
        let lifetime = granted.json["expires_in"]?.number ?? 0
        say(
            "   \(granted.status): a gateway token, good for \(Int(lifetime)) seconds and for nothing but that scope"
        )

        say("\n2. A gateway asks whether the token may pass:  GET /verify?scope=\(Self.scope)")
        let allowed = try await verify(token.string)
        say("   \(allowed.status): Daypass-Subject: \(allowed.headers.first(name: "Daypass-Subject") ?? "")")

        say("\n3. The same token with one character changed:")
        let tampered = try await verify(Self.tampered(token.string))
        say("   \(tampered.status): \(tampered.headers.first(name: "WWW-Authenticate") ?? "")")

        say("\n4. The same job on another branch:  POST /oauth/token")
        let refused = try await exchange(issuer.token(branch: "feature"))
        say(
            "   \(refused.status) \(refused.json["error"]?.string?.string ?? ""): the caller learns no more than a trace id."
        )
        say("   What the broker recorded under that id:")
        for line in try await explanation(of: refused.headers.first(name: "Daypass-Trace-Id") ?? "") {
            say("   \(line)")
        }

        guard granted.status == 200, allowed.status == 200, tampered.status == 401, refused.status == 400 else {
            throw CommandFailure("the broker did not answer as it should have")
        }
        say(
            """

            Next, with an issuer of yours:
              daypassd init     writes config/daypass.yaml, a master key and signing keys
              daypassd check    after you have changed the three marked lines
              daypassd serve
            """)
    }

    private struct Answer {
        let status: UInt
        let headers: HTTPHeaders
        let json: JSONObject
    }

    private func exchange(_ subjectToken: String) async throws -> Answer {
        var request = HTTPClientRequest(url: "\(origin)/oauth/token")
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
        request.body = .bytes(
            ByteBuffer(
                string: "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
                    + "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&subject_token=\(subjectToken)"
            ))
        return try await send(request)
    }

    private func verify(_ token: String) async throws -> Answer {
        var request = HTTPClientRequest(url: "\(origin)/verify?scope=\(Self.scope)")
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
        return try await send(request)
    }

    private func send(_ request: HTTPClientRequest) async throws -> Answer {
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        let body = try await response.body.collect(upTo: 64 * 1024)
        let json = (try? JSONReader.readObject(Array(body.readableBytesView))) ?? [:]
        return Answer(status: response.status.code, headers: response.headers, json: json)
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
                    lines.append(
                        "  rule \(Self.text(rule, "rule")): \(Self.text(miss, "claim")) is "
                            + "\(Self.text(miss, "got")), wanted \(Self.text(miss, "wanted"))")
                }
            }
        }
        return lines
    }

    private static func text(_ value: JSONValue, _ name: ExactString) -> String {
        switch value.object?[name] {
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

import BrokerTesting
import Foundation
import JOSE
import Testing

/// A real broker and the real command over its socket, with an issuer of the test's own.
struct AdministeredGrants: Sendable {
    private static let access = ["subject_token_type": "urn:ietf:params:oauth:token-type:access_token"]

    let broker: RunningBroker
    let issuer: TestIssuer

    /// Serves with the rules `ci-main` and `docs`, by the ref, and every claim kept, or those that `claims` says.
    init(keeping claims: String = "all") async throws {
        let workspace = try Workspace()
        issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = """
              - name: docs
                issuer: github
                match: {repository_id: "123456", ref: refs/heads/docs}
                grant: {scope: ["anthropic:messages", "openai:responses"], ttl: 15m}
            audit: {claims: \(claims)}

            """
        let broker = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace, replay: "off") + rules,
            admin: "{socket: run/admin.sock}")
        try await waitUntil("daypassd is administered") { broker.process.error.contains(#""listener":"admin""#) }
        self.broker = broker
    }

    func daypass(_ arguments: [String]) async throws -> RunningProcess.Outcome {
        try await AdministeredBroker.daypass(
            arguments, ["DAYPASS_SOCKET": broker.workspace.path("run/admin.sock")])
    }

    /// The same, of a command that has to succeed.
    @discardableResult
    func done(_ arguments: String...) async throws -> String {
        let outcome = try await daypass(arguments)
        try #require(outcome.status == 0, "\(arguments): \(outcome.error)")
        return outcome.output
    }

    func json(_ arguments: String...) async throws -> JSONObject {
        let outcome = try await daypass(arguments + ["--json"])
        try #require(outcome.status == 0, "\(arguments): \(outcome.error)")
        return try JSONReader.readObject(Array(outcome.output.utf8))
    }

    func exchange(
        _ subject: String = "job", ref: ExactString = "refs/heads/main", _ claims: JSONObject = [:]
    ) async throws -> HTTPAnswer {
        let matching: JSONObject = ["repository_id": "123456", "ref": .string(ref)]
        let all = issuer.claims(subject: subject, at: Date()).merging(matching).merging(claims)
        return try await broker.exchange(issuer.token(all))
    }

    func token(
        _ subject: String = "job", ref: ExactString = "refs/heads/main", _ claims: JSONObject = [:]
    ) async throws -> String {
        let answer = try await exchange(subject, ref: ref, claims)
        return try #require(answer.text("access_token"), "\(answer.body)")
    }

    func renewed(_ token: String, _ parameters: [String: String] = [:]) async throws -> HTTPAnswer {
        try await broker.exchange(token, Self.access.merging(parameters) { $1 })
    }

    func isGood(_ token: String) async throws -> Bool {
        let status = try await broker.verify(token).status
        try #require([200, 401].contains(status))
        return status == 200
    }

    /// The session that was opened last.
    func lastSession() async throws -> String {
        let list = try await json("sessions", "list", "--limit", "1")
        return try #require(list["sessions"]?.array?.first?.object?["sid"]?.string?.string)
    }

    /// The details of the audit records of that kind, oldest first.
    func audited(_ kind: String) async throws -> [JSONObject] {
        let script =
            "import sqlite3,sys\nfor r in sqlite3.connect(sys.argv[1]).execute("
            + "'SELECT details FROM audit WHERE kind = ? ORDER BY sequence', sys.argv[2:]): print(r[0])"
        let read = try await RunningProcess(
            try #require(Programs.python), ["-c", script, broker.workspace.path("data/daypass.db"), kind]
        ).outcome()
        return try read.output.split(separator: "\n").map { try JSONReader.readObject(Array($0.utf8)) }
    }
}

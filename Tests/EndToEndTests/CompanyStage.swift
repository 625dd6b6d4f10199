import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// A real broker whose people sign in at a real provider, a machine with an empty home, and alice with a browser.
struct CompanyStage: Sendable {
    enum Provider: Sendable {
        case mock
        case glewlwyd
    }

    let broker: RunningBroker
    let kind: Provider
    /// Of the provider.
    let issuer: String
    let provider: RunningProcess
    var workspace: Workspace { broker.workspace }
    var origin: String { broker.origin }

    /// - Parameter life: of what the one rule grants.
    init(_ kind: Provider = .mock, life: String = "ttl: 15m, max_session: 8h") async throws {
        let workspace = try Workspace()
        let port = try Workspace.freePort()
        switch kind {
        case .mock: (provider, issuer) = try await `Programs that nobody here wrote`.provider()
        case .glewlwyd:
            let own = try Workspace.freePort()
            let callback = "http://127.0.0.1:\(port)/oauth/callback"
            let made = try await Self.administer(["prepare", workspace.path("glewlwyd"), "\(own)", callback])
            try #require(made.status == 0, "\(made.error)")
            issuer = "http://127.0.0.1:\(own)/api/oidc"
            provider = try await Self.serveGlewlwyd(workspace, own)
        }
        self.kind = kind
        try workspace.write("data/sign-in.secret", "secret\n")
        chmod(workspace.path("data/sign-in.secret"), 0o600)
        try workspace.write("home/x", "")
        broker = try await RunningBroker(
            workspace, issuersAndRules: Self.configuration(issuer, life), admin: "{socket: run/admin.sock}", port: port)
        let broker = self.broker
        try await waitUntil("daypassd is administered") { broker.process.error.contains(#""listener":"admin""#) }
        try await waitUntil("the provider's keys are there") {
            try await broker.send(.GET, "\(broker.telemetry)/readyz").status == 200
        }
    }

    /// The same after `daypassd` has ended, over the same files.
    private init(_ stage: CompanyStage, _ broker: RunningBroker) {
        (self.broker, kind, issuer, provider) = (broker, stage.kind, stage.issuer, stage.provider)
    }

    private static func configuration(_ issuer: String, _ life: String) -> String {
        """
        sign_in:
          issuer: corp-sso
          client_id: daypass
          client_secret_file: data/sign-in.secret
          scopes: [openid, email, offline_access]
        issuers:
          - name: corp-sso
            issuer: \(issuer)
            audience: daypass
            algorithms: [RS256]
            max_lifetime: 2h
            allow_private: true
        rules:
          - name: developers
            issuer: corp-sso
            match: {email: alice@example.com}
            grant: {scope: ["anthropic:messages", "anthropic:count_tokens"], \(life)}

        """
    }

    /// `daypassd`, killed and started anew.
    func restarted() async throws -> CompanyStage {
        broker.process.signal(SIGKILL)
        _ = try await broker.process.outcome()
        return CompanyStage(self, try await RunningBroker(restarting: broker))
    }

    // MARK: The provider

    private static func peer(_ name: String) -> String {
        Programs.repository.appending(path: "Tests/Peers/\(name)").path(percentEncoded: false)
    }

    private static func administer(_ arguments: [String]) async throws -> RunningProcess.Outcome {
        try await RunningProcess(try #require(Programs.certificatePython), [peer("glewlwyd.py")] + arguments).outcome()
    }

    private static func serveGlewlwyd(_ workspace: Workspace, _ port: Int) async throws -> RunningProcess {
        let process = try RunningProcess(
            try #require(Programs.glewlwyd), ["-c", workspace.path("glewlwyd/glewlwyd.conf")])
        try await waitUntil("glewlwyd listens") {
            try #require(process.isRunning, "\(process.output)\(process.error)")
            return Workspace.isListening(port)
        }
        return process
    }

    private var providerPort: String { String(issuer.split(separator: "/")[1].split(separator: ":")[1]) }

    /// Once more, after it was stopped.
    func providerAgain() async throws -> RunningProcess {
        try await Self.serveGlewlwyd(workspace, try #require(Int(providerPort)))
    }

    /// What the provider's administrator does when alice leaves.
    func leaveProvider() async throws {
        switch kind {
        case .mock: #expect(try await broker.send(.POST, "\(issuer)/users/alice/revoke-tokens").status < 300)
        case .glewlwyd:
            let done = try await Self.administer(["remove", providerPort, "alice"])
            try #require(done.status == 0, "\(done.error)")
        }
    }

    /// Alice ends her session at glewlwyd, as a browser does.
    func endProviderSession() async throws {
        let done = try await Self.administer(["logout", workspace.path("glewlwyd"), providerPort, "alice"])
        try #require(done.status == 0, "\(done.error)")
    }

    // MARK: The developer and the person

    func start(_ arguments: [String], _ more: [String: String?] = [:]) throws -> RunningProcess {
        try TokenStage.start(arguments, ["HOME": workspace.path("home"), "DAYPASS_URL": origin], more)
    }

    func daypass(_ arguments: [String], _ more: [String: String?] = [:]) async throws -> RunningProcess.Outcome {
        try await start(arguments, more).outcome()
    }

    /// `daypass login`, and the code that it shows.
    func begin(_ more: [String: String?] = [:]) async throws -> (RunningProcess, code: String) {
        let login = try start(["login", "--no-browser"], more)
        try await waitUntil("a code is shown") {
            try #require(login.isRunning, "\(login.error)")
            return login.error.contains("Waiting")
        }
        let shown = try #require(login.error.firstMatch(of: /\b([B-Z]{4}-[B-Z]{4})\b/))
        return (login, String(shown.1))
    }

    /// Types the code into the broker's page, says yes there, and signs in.
    /// - Returns: the last page, its status in the first line.
    func approve(_ code: String, _ flags: String...) async throws -> String {
        let person = try await person(code, flags)
        try #require(person.status == 0, "\(person.error)")
        return person.output
    }

    /// The same of one who may not get far.
    func person(_ code: String, _ flags: [String] = []) async throws -> RunningProcess.Outcome {
        let who = kind == .mock ? ["mock", "alice"] : ["glewlwyd", "alice", "alice"]
        return try await RunningProcess(
            try #require(Programs.python), [Self.peer("person.py"), "\(origin)/device", code] + who + flags
        ).outcome()
    }

    func login(_ more: [String: String?] = [:]) async throws {
        let (login, code) = try await begin(more)
        let page = try await approve(code)
        let outcome = try await login.outcome()
        try #require(outcome.status == 0, "\(outcome) \(page)")
    }

    /// A token that was not kept.
    func anew(_ more: [String: String?] = [:]) async throws -> RunningProcess.Outcome {
        try await daypass(SignInStage.anew, more)
    }

    func isGood(_ printed: String) async throws -> Bool {
        try #require(printed.hasSuffix("\n") && printed.split(separator: "\n").count == 1, "\(printed)")
        return try await broker.verify(String(printed.dropLast())).status == 200
    }

    // MARK: The broker's administrator

    func administer(_ arguments: String...) async throws -> RunningProcess.Outcome {
        try await AdministeredBroker.daypass(arguments, ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
    }

    /// How many times a refresh token was used up, not counting answers that were given again.
    func renewals(repeated: Bool = false) async throws -> Int {
        let found = try await administer("audit", "search", "--kind", "session.renewed", "--limit", "1000", "--json")
        let records = try #require(try JSONReader.readObject(Array(found.output.utf8))["records"]?.array, "\(found)")
        return records.count { $0.object?["details"]?.object?["sign_in"]?.object?["repeated"] == .bool(repeated) }
    }

    /// Of whoever is signed in.
    func session() async throws -> String {
        let shown = try await daypass(["whoami", "--json"])
        let members = try JSONReader.readObject(Array(shown.output.utf8))
        return try #require(members["session_id"]?.string?.string, "\(shown)")
    }
}

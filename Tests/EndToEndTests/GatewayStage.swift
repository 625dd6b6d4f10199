import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Synchronization
import Testing

/// A real gateway with an application behind it, and beside it a real broker, which it reaches through a relay that records
/// what it is asked and can be stopped.
final class GatewayStage: Sendable {
    typealias Answer = PlainConnection.Answer

    let gateway: Gateway
    let broker: RunningBroker
    let issuer: TestIssuer
    let port: Int
    let process: RunningProcess
    let companion: Mutex<RunningProcess?>
    private let relay: Mutex<RunningProcess>
    private let relayPort: Int
    private let application: RunningProcess
    private let applicationPort: Int

    var workspace: Workspace { broker.workspace }

    /// Waits until a good token passes.
    /// - Parameter changes: texts of the configuration, and what stands in their place.
    init(_ gateway: Gateway, changing changes: [String: String] = [:]) async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = """
              - name: short
                issuer: github
                match: {repository_id: "123456"}
                grant: {scope: ["anthropic:messages"], ttl: 2s}
              - name: gateways
                issuer: github
                match: {repository_id: "123456"}
                grant: {scope: ["daypass:revocations"], ttl: 10m}

            """
        (self.gateway, self.issuer) = (gateway, issuer)
        broker = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace, replay: "off") + rules,
            admin: "{socket: run/admin.sock}", trustedProxies: ["127.0.0.1"], seconds: 300)
        let brokerPort = try #require(broker.origin.split(separator: ":").last.flatMap { Int($0) })
        let ports = try Gateway.Ports(
            gateway: Workspace.freePort(), inner: Workspace.freePort(), daypass: Workspace.freePort(),
            application: Workspace.freePort())
        (port, relayPort, applicationPort) = (ports.gateway, ports.daypass, ports.application)
        application = try Self.application(ports.application)
        relay = Mutex(try Self.relay(ports.daypass, to: brokerPort, workspace))
        for port in [ports.application, ports.daypass] {
            try await waitUntil("\(port) is listened to", within: 60) { Workspace.isListening(port) }
        }
        try await gateway.install(in: workspace, ports, issuer: broker.origin, changing: changes)
        try workspace.write("gateway/proof.jwt", try Self.proof(issuer, of: "gateway"))
        try await gateway.prepare(in: workspace)
        process = try gateway.start(in: workspace, base: ports.gateway)
        // A sign of life comes every ten seconds.
        companion = Mutex(try gateway.startCompanion(in: workspace, Self.companionArguments))
        let good = try await token()
        try await waitUntil("\(gateway.rawValue) lets a good token through", within: 60) {
            try #require(self.process.isRunning, "\(self.process.error)")
            return (try? await self.ask(bearing: good))?.status == 200
        }
    }

    static let companionArguments = " --stale 12 --keys-every 1"

    static func application(_ port: Int) throws -> RunningProcess {
        try python("echo-application.py", "\(port)")
    }

    private static func relay(_ port: Int, to target: Int, _ workspace: Workspace) throws -> RunningProcess {
        try python("recording-relay.py", "\(port)", "\(target)", workspace.path("relayed"))
    }

    private static func python(_ script: String, _ arguments: String...) throws -> RunningProcess {
        let path = Programs.repository.appending(path: "Tests/Peers/\(script)").path(percentEncoded: false)
        return try RunningProcess(try #require(Programs.python), [path] + arguments, seconds: 300)
    }

    func stop() async throws {
        companion.withLock { $0?.signal(SIGTERM) }
        process.signal(SIGTERM)
        _ = try await process.outcome()
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }

    // MARK: Tokens

    private static func proof(
        _ issuer: TestIssuer, of subject: String, repository: ExactString = "123456"
    ) throws -> String {
        let matching: JSONObject = ["repository_id": .string(repository), "ref": "refs/heads/main"]
        return try issuer.token(
            issuer.claims(subject: subject, at: Date(), lifetime: .seconds(800)).merging(matching))
    }

    /// An identity token; no rule is for other repositories.
    func proof(of subject: String = "job", repository: ExactString = "123456") throws -> String {
        try Self.proof(issuer, of: subject, repository: repository)
    }

    func token(_ subject: String = "job", _ parameters: [String: String] = [:]) async throws -> String {
        let answer = try await broker.exchange(try Self.proof(issuer, of: subject), parameters)
        return try #require(answer.text("access_token"), "\(answer.body)")
    }

    /// What an administrator types.
    @discardableResult
    func daypass(_ arguments: String...) async throws -> String {
        let socket = ["DAYPASS_SOCKET": workspace.path("run/admin.sock")]
        let outcome = try await AdministeredBroker.daypass(arguments, socket)
        try #require(outcome.status == 0, "\(arguments): \(outcome.error)")
        return outcome.output
    }

    /// The id of the key that signed this token.
    static func keyID(of token: String) throws -> String {
        let header = try Base64URL.decode(ExactString(TokenSegments(token).header))
        return try #require(try JSONReader.readObject(header)["kid"]?.string?.string)
    }

    /// The keys that the broker publishes.
    var publishedKeys: Int {
        get async throws {
            let answer = try await broker.send(.GET, "/oauth/jwks")
            return try #require(try JSONReader.readObject(Array(answer.body.utf8))["keys"]?.array?.count)
        }
    }

    func revoke(_ token: String) async throws {
        let form = ("Content-Type", "application/x-www-form-urlencoded")
        let answer = try await broker.send(
            .POST, "/oauth/revoke", [form], body: RunningBroker.form([("token", token)]))
        try #require(answer.status == 200)
        #expect(try await broker.verify(token).status == 401)
    }

    // MARK: Requests

    /// The bytes of a request, exactly with these headers.
    static func request(
        _ method: String = "GET", _ target: String = "/v1/messages", _ headers: [(String, String)] = [],
        host: String = "gateway.example.com"
    ) -> [UInt8] {
        let lines = headers.map { "\($0.0): \($0.1)\r\n" }.joined()
        return Array("\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n\(lines)\r\n".utf8)
    }

    /// On a connection of its own, which ends with the answer.
    func ask(
        _ method: String = "GET", _ target: String = "/v1/messages", _ headers: [(String, String)] = [],
        bearing token: String? = nil, connection: String = "close", from source: String = "127.0.0.1",
        body: [UInt8] = []
    ) async throws -> Answer {
        var headers = headers
        if let token { headers.append(("Authorization", "Bearer \(token)")) }
        headers.append(("Connection", connection))
        return try await PlainConnection.answer(
            Self.request(method, target, headers) + body, port: port, from: source, toHead: method == "HEAD")
    }

    /// The requests that reached the application so far.
    var reached: Int {
        get async throws {
            let request = Self.request("GET", "/reached", [("Connection", "close")])
            let answer = try await PlainConnection.answer(request, port: applicationPort)
            return try #require(Int(String(decoding: answer.body, as: UTF8.self)))
        }
    }

    /// What the gateway has sent to Daypass so far.
    func relayed() throws -> String {
        String(decoding: try Data(contentsOf: workspace.folder.appending(path: "relayed")), as: UTF8.self)
    }

    // MARK: Daypass and its absence

    /// From now on nobody listens where the gateway asks.
    func cut() async throws {
        let old = relay.withLock { $0 }
        old.signal(SIGKILL)
        _ = try await old.outcome()
    }

    /// From now on `answering-broker.py` answers where the gateway asks.
    func impersonate() async throws {
        try await cut()
        let new = try Self.python("answering-broker.py", "\(relayPort)")
        relay.withLock { $0 = new }
        try await waitUntil("it listens", within: 60) { Workspace.isListening(self.relayPort) }
    }

    func restore() async throws {
        let target = try #require(broker.origin.split(separator: ":").last.flatMap { Int($0) })
        let new = try Self.relay(relayPort, to: target, workspace)
        relay.withLock { $0 = new }
        try await waitUntil("the relay listens", within: 60) { Workspace.isListening(self.relayPort) }
    }

    /// From now on what Daypass answers is not HTTP; or it is again.
    func garble(_ isGarbled: Bool) {
        relay.withLock { $0 }.signal(isGarbled ? SIGUSR1 : SIGUSR2)
    }

    /// From now on connections are taken, and nothing is answered; or it is again.
    func freeze(_ isFrozen: Bool) async throws {
        let process = relay.withLock { $0 }
        process.signal(isFrozen ? SIGSTOP : SIGCONT)
        // The signal takes a moment, in which it still answers.
        try await waitUntil("the relay stands still", within: 30) {
            let line = try String(contentsOfFile: "/proc/\(process.id)/stat", encoding: .utf8)
            return (line.split(separator: ")").last?.split(separator: " ").first == "T") == isFrozen
        }
    }
}

/// What the application saw of a request.
struct SeenRequest {
    let method: String
    let path: String
    /// Names in lower case.
    let headers: [(name: String, value: String)]
    let length: Int
    let digest: String
    /// Headers behind a chunked body, as they came.
    let trailers: [String]

    init(_ answer: PlainConnection.Answer) throws {
        let json = try JSONReader.readObject(answer.body)
        method = try #require(json["method"]?.string?.string)
        path = try #require(json["path"]?.string?.string)
        headers = try #require(json["headers"]?.array).map {
            let pair = $0.array?.compactMap { $0.string?.string } ?? []
            return (pair[0], pair[1])
        }
        length = try #require(json["length"]?.number.flatMap { Int(exactly: $0) })
        digest = try #require(json["sha256"]?.string?.string)
        trailers = try #require(json["trailers"]?.array).compactMap { $0.string?.string }
    }

    func values(_ name: String) -> [String] { headers.filter { $0.name == name }.map(\.value) }
}

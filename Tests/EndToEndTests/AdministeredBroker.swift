import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import Logging
import NIOCore
import ServiceLifecycle
import Testing

/// A real administration listener in this process, over fakes, and the real `daypass` that speaks with it.
struct AdministeredBroker: Sendable {
    let workspace: Workspace
    let fake: FakeAdministration

    var socket: String { workspace.path("run/admin.sock") }

    static func run(
        sessions: [SessionRecord] = [], _ body: @escaping @Sendable (AdministeredBroker) async throws -> Void
    ) async throws {
        let broker = AdministeredBroker(workspace: try Workspace(), fake: FakeAdministration(sessions: sessions))
        let (masterKey, _) = try MasterKey.generate()
        let records = try [SigningKeyRecord.State.active, .staged].map {
            try SigningKey.generate(.ES256, state: $0, sealedWith: masterKey, at: Date())
        }
        let ring = try KeyRing(opening: records, with: masterKey)
        var quiet = Logger(label: "test")
        quiet.logLevel = .critical
        let (listening, listens) = AsyncStream<Void>.makeStream()
        let issuer = try TestIssuer(algorithm: .ES256)
        let name = try #require(IssuerName(parsing: "ci"))
        let keys = try issuer.keySet
        let trusted = TrustedIssuer(
            configuration: IssuerConfiguration(
                name: name, issuer: "https://ci.example.com", audience: "https://daypass.example.com",
                keys: .inline(keys, path: "issuer.json"), algorithms: [.ES256]),
            keys: IssuerKeys(name: name, keys: keys, clock: SystemClock()))
        let server = try AdministrationServer(
            AdministrationConfiguration(socketPath: broker.socket),
            broker.fake.administration(issuers: [trusted]),
            verifier: TokenVerifier(
                tokens: TokenConfiguration(
                    issuer: "https://broker.example.com", audiences: ["https://gateway.example.com"]),
                policy: VerifyConfiguration(), state: StateHolder(BrokerState(keyRing: ring))),
            issuer: "https://broker.example.com", clock: SystemClock(), logger: quiet
        ) { _ in listens.yield() }
        let group = ServiceGroup(
            configuration: .init(services: server.services.map { .init(service: $0) }, logger: quiet))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { listens.finish() }
                try await group.run()
            }
            tasks.addTask {
                for await _ in listening { break }
                let outcome: Result<Void, any Error>
                do {
                    outcome = .success(try await body(broker))
                } catch {
                    outcome = .failure(error)
                }
                await group.triggerGracefulShutdown()
                try outcome.get()
            }
            for try await _ in tasks {}
        }
    }

    /// `daypass` with these arguments, which finds the socket by the variable.
    func daypass(_ arguments: String...) async throws -> RunningProcess.Outcome {
        try await Self.daypass(arguments, ["DAYPASS_SOCKET": socket])
    }

    static func daypass(
        _ arguments: [String], _ environment: [String: String], in folder: URL? = nil, through wrapper: [String] = []
    ) async throws -> RunningProcess.Outcome {
        let command = wrapper + [Programs.daypass] + arguments
        var all = environment
        all["PATH"] = ProcessInfo.processInfo.environment["PATH"]
        all["LD_LIBRARY_PATH"] = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"]
        return try await RunningProcess(
            command[0].hasPrefix("/") ? command[0] : "/usr/bin/env",
            command[0].hasPrefix("/") ? Array(command.dropFirst()) : command, in: folder, environment: all
        ).outcome()
    }
}

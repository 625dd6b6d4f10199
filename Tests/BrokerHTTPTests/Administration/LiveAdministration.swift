import AsyncHTTPClient
import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Testing

/// The administration listener on a Unix socket in this process, over fakes, for as long as `body` runs.
struct LiveAdministration: Sendable {
    let socket: String
    let fake: FakeAdministration
    let log: LogRecorder

    static func run(
        _ administration: @escaping @Sendable (FakeAdministration) -> Administration = { $0.administration },
        sessions: [SessionRecord] = [], group: String? = nil, bounds: ConnectionBounds = .patient,
        isMember: @escaping @Sendable (UInt32, UInt32) -> Bool = UserDatabase.isMember,
        _ body: @escaping @Sendable (LiveAdministration) async throws -> Void
    ) async throws {
        let folder = try TemporaryFolder()
        // Who is let through as far as the socket is for the socket's own folder to say.
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path)
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o755], ofItemAtPath: URL(filePath: folder.path).deletingLastPathComponent().path)
        let (fake, log) = (FakeAdministration(sessions: sessions), LogRecorder())
        let configuration = AdministrationConfiguration(socketPath: "\(folder.path)/run/admin.sock", group: group)
        let live = LiveAdministration(socket: configuration.socketPath, fake: fake, log: log)
        try await serve(configuration, administration(fake), log, bounds: bounds, isMember: isMember) { _ in
            try await body(live)
        }
    }

    /// - Parameter body: told the port of the listener on the network, where there is one.
    static func serve(
        _ configuration: AdministrationConfiguration, _ administration: Administration, _ log: LogRecorder,
        tls: TLSListener? = nil, verifier: TokenVerifier? = nil, clock: any BrokerClock = SystemClock(),
        bounds: ConnectionBounds = .patient,
        isMember: @escaping @Sendable (UInt32, UInt32) -> Bool = UserDatabase.isMember,
        _ body: @escaping @Sendable (Int) async throws -> Void
    ) async throws {
        let ring = try keyRing()
        let (listening, listens) = AsyncStream<SocketAddress>.makeStream()
        let server = try AdministrationServer(
            configuration, administration, verifier: verifier ?? self.verifier(ring), issuer: broker, clock: clock,
            logger: log.logger, tls: tls, connectionBounds: bounds, onListening: { listens.yield($0) },
            isMember: isMember)
        var quiet = Logger(label: "test")
        quiet.logLevel = .critical
        let group = ServiceGroup(
            configuration: .init(services: server.services.map { .init(service: $0) }, logger: quiet))
        let count = server.services.count
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { listens.finish() }
                try await group.run()
            }
            tasks.addTask {
                var addresses: [SocketAddress] = []
                for await address in listening {
                    addresses.append(address)
                    if addresses.count == count { break }
                }
                guard addresses.count == count else { return }
                let outcome = await Result { try await body(addresses.compactMap(\.port).first ?? 0) }
                await group.triggerGracefulShutdown()
                try outcome.get()
            }
            for try await _ in tasks {}
        }
    }

    static let broker: ExactString = "https://broker.example.com"
    static let gateway: ExactString = "https://gateway.example.com"

    static func verifier(_ ring: KeyRing) -> TokenVerifier {
        TokenVerifier(
            tokens: TokenConfiguration(issuer: broker, audiences: [gateway]), policy: VerifyConfiguration(),
            state: StateHolder(BrokerState(keyRing: ring)))
    }

    static func keyRing() throws -> KeyRing {
        let (masterKey, _) = try MasterKey.generate()
        let records = try [SigningKeyRecord.State.active, .staged].map {
            try SigningKey.generate(.ES256, state: $0, sealedWith: masterKey, at: Date())
        }
        return try KeyRing(opening: records, with: masterKey)
    }

    func send(
        _ method: HTTPMethod = .GET, _ path: String, _ body: String? = nil, headers: [(String, String)] = []
    ) async throws -> HTTPAnswer {
        let base = "http+unix://\(Self.encoded(socket))/admin/v1/"
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        request.headers = HTTPHeaders(headers)
        request.headers.add(name: "Connection", value: "close")
        if let body {
            if headers.isEmpty { request.headers.add(name: "Content-Type", value: "application/json") }
            request.body = .bytes(ByteBuffer(string: body))
        }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
        let collected = try await response.body.collect(upTo: 1 << 20)
        return HTTPAnswer(status: Int(response.status.code), headers: response.headers, body: String(buffer: collected))
    }

    private static func encoded(_ path: String) -> String { path.split(separator: "/").reduce("") { "\($0)%2F\($1)" } }
}

import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import Hummingbird
import HummingbirdCore
import JOSE
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import SPIFFE
import Synchronization
import Testing

/// The TLS listener in this process, over the certificates that `certs/make-development` makes: it answers every request
/// with who the client is.
struct TLSServer: Sendable {
    let port: Int
    let folder: URL
    let log: LineLog
    let metrics: TLSMetrics
    let certificate: ServerCertificate
    let bundles: Mutable<TrustBundleSet>

    /// Not those of other tests, which keep theirs busy.
    private static let eventLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    /// Each starts programs by the dozen: two at a time leave something for the other tests.
    private static let places = Places(2)

    static func run(
        minimumVersion: ListenerTLS.Version = .tls13, requests: Bool = true, handshakeLimit: TimeAmount? = nil,
        _ body: @escaping @Sendable (TLSServer) async throws -> Void
    ) async throws {
        // Not by a setting: without somebody who looks at certificates, none is asked for.
        await places.take()
        let outcome = await Result {
            try await serve(minimumVersion: minimumVersion, requests: requests, handshakeLimit: handshakeLimit, body)
        }
        await places.giveBack()
        try outcome.get()
    }

    private static func serve(
        minimumVersion: ListenerTLS.Version, requests: Bool, handshakeLimit: TimeAmount?,
        _ body: @escaping @Sendable (TLSServer) async throws -> Void
    ) async throws {
        let folder = URL.temporaryDirectory.appending(path: "daypass-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let made = try await makeDevelopment("certificates", in: folder)
        try #require(made.status == 0, "\(made.output)")
        // `s_client` takes what follows the leaf from a file of its own.
        let chain = try String(contentsOf: folder.appending(path: "certificates/workload.pem"), encoding: .utf8)
        let intermediate = try #require(chain.range(of: "-----BEGIN", options: .backwards)).lowerBound
        try Data(chain[intermediate...].utf8).write(to: folder.appending(path: "intermediate.pem"))
        let bundle = try TrustBundle(
            pem: [UInt8](Data(contentsOf: folder.appending(path: "certificates/bundle.pem"))),
            of: TrustDomain(parsing: "dev.example.org"))
        let bundles = Mutable(try TrustBundleSet([bundle]))
        let tls = ListenerTLS(
            certificateFile: folder.appending(path: "certificates/server.pem").path,
            keyFile: folder.appending(path: "certificates/server.key").path, minimumVersion: minimumVersion)
        let (clock, metrics, log) = (SystemClock(), TLSMetrics(), LineLog())
        let certificate = try ServerCertificate(tls, clock: clock, metrics: metrics, logger: log.logger)
        var listener = TLSListener(
            certificate, validator: requests ? X509SVIDValidator { bundles.value } : nil, clock: clock,
            metrics: metrics, logger: log.logger)
        if let handshakeLimit { listener.handshakeLimit = handshakeLimit }
        let (listening, listens) = AsyncStream<Int>.makeStream()
        var quiet = Logger(label: "test")
        quiet.logLevel = .critical
        let service = BrokerServer.listener(
            WhoAmI(), on: ListenAddress(host: "127.0.0.1", port: 0), MaximumAvailableConnections(1000, logger: quiet),
            nil, listener, eventLoops, quiet, BrokerServer.channel { ConnectionLimits(.init()) }
        ) { listens.yield($0.port ?? 0) }
        let group = ServiceGroup(configuration: .init(services: [.init(service: service)], logger: quiet))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask {
                var port = 0
                for await listened in listening {
                    port = listened
                    break
                }
                let server = TLSServer(
                    port: port, folder: folder, log: log, metrics: metrics, certificate: certificate, bundles: bundles)
                let outcome = await Result { try await body(server) }
                await group.triggerGracefulShutdown()
                try outcome.get()
            }
            for try await _ in tasks {}
        }
    }

    static func makeDevelopment(_ name: String, _ arguments: String..., in folder: URL) async throws -> Command {
        let script = URL(filePath: #filePath).appending(path: "../../../../certs/make-development").standardized
        return try await Command.run([script.path, name] + arguments, in: folder)
    }

    /// `curl` to this listener, which trusts the bundle.
    func curl(_ arguments: String...) async throws -> Command {
        try await Command.run(
            ["curl", "-sS", "--cacert", "certificates/bundle.pem"] + arguments + ["https://localhost:\(port)/"],
            in: folder)
    }

    /// `openssl s_client` to this listener: a handshake and one request.
    func openssl(_ arguments: String...) async throws -> Command {
        try await Command.run(
            ["openssl", "s_client", "-connect", "localhost:\(port)", "-CAfile", "certificates/bundle.pem", "-ign_eof"]
                + arguments, in: folder, input: "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    }

    /// The `daypass_tls_…` line with this name and labels.
    func metric(_ name: String) -> String? {
        var text = MetricText()
        metrics.write(to: &text)
        return String(decoding: text.bytes, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix(name + " ") }.map { String($0.dropFirst(name.count + 1)) }
    }

    func handshakes(_ outcome: String) -> String? { metric("daypass_tls_handshakes_total{outcome=\"\(outcome)\"}") }

    private struct WhoAmI: HTTPResponder {
        typealias Context = BrokerRequestContext

        func respond(to request: Request, context: BrokerRequestContext) async throws -> Response {
            let text = context.peerIdentity?.id.text.string ?? "nobody"
            return Response(status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(string: "you are \(text)")))
        }
    }
}

/// So many at once; others wait in their order.
private actor Places {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ count: Int) { free = count }

    func take() async {
        guard free == 0 else {
            free -= 1
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    func giveBack() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
}

final class Mutable<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }

    var value: Value {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

/// Keeps every line, with its metadata, as text.
final class LineLog: Sendable {
    private let state = Mutex<[String]>([])
    private let stream: AsyncStream<Void>
    private let added: AsyncStream<Void>.Continuation

    init() {
        (stream, added) = AsyncStream.makeStream()
    }

    var lines: [String] { state.withLock { $0 } }

    /// As soon as there is one: a client learns of the end of a handshake before the line is written. For one caller.
    func firstLine() async -> String {
        for await _ in stream { break }
        return lines.first ?? ""
    }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(log: self) }
    }

    private struct Handler: LogHandler {
        let log: LineLog
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level = .trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let line = ([event.level.rawValue, "\(event.message)"] + fields).joined(separator: " ")
            log.state.withLock { $0.append(line) }
            log.added.yield()
        }
    }
}

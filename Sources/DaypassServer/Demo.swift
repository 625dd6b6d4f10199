import ArgumentParser
import AsyncHTTPClient
import Broker
import BrokerHTTP
import Foundation
import JOSE
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// `daypassd demo`: the real server, an issuer and a trust domain of its own, and what happens to a few tokens.
struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show exchanges, a renewal, a narrowing, mutual TLS and refusals with the real server.",
        discussion: """
            Everything happens in a temporary folder and on loopback; nothing stays behind.

            Example: daypassd demo
            """)

    mutating func run() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "daypass-demo-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(at: folder) }

        let issuer = try DemoIssuer()
        let port = try await Self.freePort()
        let trustDomain = try DemoTrustDomain()
        try trustDomain.write(in: folder)
        let configurationPath = try issuer.writeConfiguration(in: folder, port: port)
        let (configuration, _) = try ConfigurationFile.read(configurationPath)
        _ = try await Installation.make(configuration)
        let (refusals, refused) = AsyncStream<String>.makeStream()
        let logger = Logger(label: "daypassd") { _ in DemoLog(refusals: refused) }
        let daemon = try await Daemon(configuration, logger: logger)

        let origin = configuration.server.publicURL
        let tour = DemoTour(
            issuer: issuer, client: DemoClient(origin: origin, tls: try trustDomain.client()), store: daemon.store)
        let workloads = DemoWorkloads(origin: origin, trustDomain: trustDomain, refusals: refusals)
        let (listening, listens) = AsyncStream<Void>.makeStream()
        let server = ServiceGroup(
            configuration: .init(services: [DemoServer(daemon: daemon, listens: listens)], logger: logger))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask {
                for await _ in listening { break }
                try await tour.run()
                try await workloads.run()
                DemoTour.sayGoodbye()
                await server.triggerGracefulShutdown()
            }
            // The first error ends the other task too.
            for try await _ in group {}
        }
    }

    /// A port that nothing listens on at the moment.
    private static func freePort() async throws -> Int {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        defer { channel.close(promise: nil) }
        guard let port = channel.localAddress?.port else { throw CommandFailure("no free port on 127.0.0.1") }
        try await channel.close().get()
        return port
    }
}

private struct DemoServer: Service {
    let daemon: Daemon
    let listens: AsyncStream<Void>.Continuation

    func run() async throws {
        defer { listens.finish() }
        try await daemon.run(stoppingOnSignals: false) { listener, _ in
            if listener == .public { listens.yield() }
        }
    }
}

import Broker
import BrokerTesting
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Testing

@testable import BrokerHTTP

@Suite(.onOwnThreads) struct `A listener on a socket that others have open as well` {
    /// A socket on a free port, of which each listener gets a descriptor of its own, as systemd hands it out.
    private final class SharedSocket: Sendable {
        let descriptor: Int32
        let port: Int

        init() throws {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            port = try withUnsafeMutablePointer(to: &address) { pointer in
                try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    let outcomes = [
                        bind(descriptor, $0, length), listen(descriptor, 100), getsockname(descriptor, $0, &length),
                    ]
                    try #require(outcomes == [0, 0, 0])
                }
                return Int(UInt16(bigEndian: pointer.pointee.sin_port))
            }
            self.descriptor = descriptor
        }

        deinit { close(descriptor) }

        func share() throws -> ListeningSocket {
            try ListeningSocket(descriptor: fcntl(descriptor, F_DUPFD_CLOEXEC, 3))
        }
    }

    /// Says who answers.
    private struct Named: HTTPResponder {
        let name: String

        func respond(to request: Request, context: BrokerRequestContext) async throws -> Response {
            Response(status: .ok, headers: [.server: name])
        }
    }

    /// Runs a listener while `body` runs, which is given what stops it; returns when both have ended.
    private func serve(
        _ socket: SharedSocket, as name: String, connections: Int = 100, logger: Logger? = nil,
        _ body: @escaping @Sendable (_ stop: @escaping @Sendable () async -> Void) async throws -> Void
    ) async throws {
        let opened = try socket.share()
        var quiet = Logger(label: "test")
        quiet.logLevel = .critical
        let logger = logger ?? quiet
        let (listening, listens) = AsyncStream<SocketAddress>.makeStream()
        let service = BrokerServer.listener(
            Named(name: name), on: ListenAddress(host: "192.0.2.1", port: 1), opened: opened,
            MaximumAvailableConnections(connections, logger: quiet), nil, nil,
            MultiThreadedEventLoopGroup.singleton, logger, BrokerServer.channel { ConnectionLimits(.init()) }
        ) { listens.yield($0) }
        let group = ServiceGroup(configuration: .init(services: [.init(service: service)], logger: quiet))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask {
                for await address in listening {
                    #expect(address.port == socket.port)
                    break
                }
                let outcome = await Result { try await body { await group.triggerGracefulShutdown() } }
                await group.triggerGracefulShutdown()
                try outcome.get()
            }
            for try await _ in tasks {}
        }
        #expect(fcntl(socket.descriptor, F_GETFD) != -1)
    }

    private static let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test func `answers whoever it has accepted and who asks only after it was told to stop`() async throws {
        let socket = try SharedSocket()
        try await serve(socket, as: "first") { stop in
            let early = try await RawConnection(port: socket.port)
            // Connections are accepted in their order.
            let late = try await RawConnection(port: socket.port)
            #expect(await late.answer(to: Self.request).contains("Server: first"))
            await stop()
            // It was idle after its answer: it is closed once the stop is under way.
            await late.end()
            let answer = await early.everything(after: Self.request)
            #expect(answer.contains("Server: first"))
            #expect(answer.contains("Connection: close"))
        }
    }

    @Test func `says to a connection that is in use which answer is its last`() async throws {
        let socket = try SharedSocket()
        try await serve(socket, as: "first") { stop in
            let kept = try await RawConnection(port: socket.port)
            #expect(await kept.answer(to: Self.request).contains("Server: first"))
            await stop()
            var answer = ""
            repeat {
                answer = await kept.answer(to: Self.request)
                try #require(answer.contains("Server: first"), "closed without a word")
            } while !answer.contains("Connection: close")
            await kept.end()
        }
    }

    /// The only one of this process that waits for connections to a port, and the socket's holder makes it deaf.
    @Test(.timeLimit(.minutes(1)))
    func `ends with an error where its socket is closed under it, and says so to its connections`() async throws {
        let socket = try SharedSocket()
        let log = LogRecorder()
        let error = await #expect(throws: ListenerFailure.self) {
            try await serve(socket, as: "first", logger: log.logger) { _ in
                let kept = try await RawConnection(port: socket.port)
                #expect(await kept.answer(to: Self.request).contains("Server: first"))
                shutdown(socket.descriptor, Int32(SHUT_RDWR))
                await kept.end()
                // Nobody stops it; it ends by itself.
                for await _ in AsyncStream<Void>.makeStream().stream {}
            }
        }
        #expect(
            error?.description.hasPrefix("the socket of 192.0.2.1:1 was closed: ") == true,
            "\(String(describing: error))")
        #expect(log.lines.filter { $0.hasPrefix("error a listener's socket was closed: the listener ends") }.count == 1)
    }

    @Test func `leaves the queue as long as it was made`() async throws {
        let socket = try SharedSocket()
        try await serve(socket, as: "first") { _ in
            let connection = try await RawConnection(port: socket.port)
            #expect(await connection.answer(to: Self.request).contains("Server: first"))
            #expect(try socket.share().backlog == 100)
        }
    }

    @Test func `does not wait for whoever never asks`() async throws {
        let socket = try SharedSocket()
        try await serve(socket, as: "first") { stop in
            let silent = try await RawConnection(port: socket.port)
            let asking = try await RawConnection(port: socket.port)
            #expect(await asking.answer(to: Self.request).contains("Server: first"))
            await stop()
            await silent.end()
        }
    }

    @Test func `leaves what it has not accepted to the next one`() async throws {
        let socket = try SharedSocket()
        let waiting = Mutable<RawConnection?>(nil)
        try await serve(socket, as: "first", connections: 1) { stop in
            let only = try await RawConnection(port: socket.port)
            #expect(await only.answer(to: Self.request).contains("Server: first"))
            let next = try await RawConnection(port: socket.port)
            next.write(Self.request)
            waiting.value = next
            await stop()
            await only.end()
        }
        // Nobody listens now, and who connects waits all the same.
        let another = try await RawConnection(port: socket.port)
        let next = try #require(waiting.value)
        try await serve(socket, as: "second") { _ in
            #expect(await next.answer(to: "").contains("Server: second"))
            #expect(await another.answer(to: Self.request).contains("Server: second"))
        }
    }
}

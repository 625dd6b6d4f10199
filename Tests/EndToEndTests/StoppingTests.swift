import BrokerTesting
import Foundation
import Logging
import ServiceLifecycle
import Testing

@testable import DaypassServer

@Suite(.onOwnThreads, .timeLimit(.minutes(1))) struct `The services of a broker that stops` {
    /// Ends once it and another one were told to.
    private struct Pair: Service {
        let other: AsyncStream<Void>
        let told: AsyncStream<Void>.Continuation

        func run() async throws {
            try await gracefulShutdown()
            told.finish()
            for await _ in other {}
        }
    }

    private struct Failure: Error {}

    private struct Failing: Service {
        func run() async throws { throw Failure() }
    }

    private struct Waiting: Service {
        func run() async throws { try? await gracefulShutdown() }
    }

    private func group(_ services: [any Service]) -> ServiceGroup {
        ServiceGroup(
            configuration: .init(
                services: [.init(service: SideBySide(services: services), successTerminationBehavior: .ignore)],
                logger: LogRecorder().logger))
    }

    @Test func `are told so side by side`() async throws {
        let (first, tellFirst) = AsyncStream<Void>.makeStream()
        let (second, tellSecond) = AsyncStream<Void>.makeStream()
        let group = group([Pair(other: second, told: tellFirst), Pair(other: first, told: tellSecond)])
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask { await group.triggerGracefulShutdown() }
            for try await _ in tasks {}
        }
    }

    @Test func `end all of them where one fails`() async throws {
        await #expect(throws: Failure.self) { try await group([Waiting(), Failing()]).run() }
    }

    @Test func `wait for nobody who does not read that it serves`() async throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/notify"
        let reader = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(reader) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let writer = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(writer) }
        let sent = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard bind(reader, address, length) == 0 else { return 0 }
                var sent = 0
                while sendto(writer, "a", 1, Int32(MSG_DONTWAIT), address, length) == 1 { sent += 1 }
                return sent
            }
        }
        #expect(sent > 0 && errno == EAGAIN)
        StartNotification(to: path, listeners: 1).listens()
    }
}

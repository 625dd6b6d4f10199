import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOPosix
import Testing

/// The layers in front of the router change nothing but what an answer costs: whatever is sent, the same comes back.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Answers with and without the fast path` {
    /// More for a longer run: `DAYPASS_STREAMS=20000`.
    private static let streams = ProcessInfo.processInfo.environment["DAYPASS_STREAMS"].flatMap { Int($0) } ?? 1500

    @Test func `are the same, in the same order, to any stream of requests`() async throws {
        let ring = try LiveBroker.keyRing()
        try await LiveBroker.run(fastPath: [], keyRing: ring) { router in
            try await LiveBroker.run(fastPath: .direct, keyRing: ring) { direct in
                try await LiveBroker.run(fastPath: .all, keyRing: ring) { all in
                    var tokens: [String] = []
                    for subject in ["job", "a b%\u{E9}", "job"] {
                        tokens.append(try await router.gatewayToken(["sub": .string(ExactString(subject))]))
                    }
                    let good = tokens
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for lane in 0..<8 {
                            group.addTask {
                                for seed in stride(from: lane, to: Self.streams, by: 8) {
                                    try await Self.compare(UInt64(seed), good, [router, direct, all])
                                }
                            }
                        }
                        try await group.waitForAll()
                    }
                }
            }
        }
    }

    private static func compare(_ seed: UInt64, _ tokens: [String], _ brokers: [LiveBroker]) async throws {
        var requests = RandomRequests(seed: seed, tokens: tokens)
        let pieces = requests.stream()
        let expected = try await answer(of: brokers[0], to: pieces)
        for broker in brokers.dropFirst() {
            let answer = try await answer(of: broker, to: pieces)
            #expect(
                answer == expected,
                "seed \(seed): \(String(decoding: pieces.joined(), as: UTF8.self).debugDescription)")
        }
    }

    /// All that comes back, but for trace ids and dates, and for interim answers, which are sent where nothing is unanswered
    /// at that moment: a matter of time.
    private static func answer(of broker: LiveBroker, to pieces: [[UInt8]]) async throws -> String {
        let port = try #require(broker.origin.split(separator: ":").last.flatMap { Int($0) })
        let (received, continuation) = AsyncStream<String>.makeStream()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(RawConnection.Receiver(continuation))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        for piece in pieces { try? await channel.writeAndFlush(ByteBuffer(bytes: piece)).get() }
        try? await channel.close(mode: .output).get()
        let text = await received.reduce("", +)
        try? await channel.close().get()
        return text.replacing(/Daypass-Trace-Id: [0-9a-f]{32}/, with: "Daypass-Trace-Id: T")
            .replacing(/Date: [^\r]{29}/, with: "Date: D").replacing("HTTP/1.1 100 Continue\r\n\r\n", with: "")
    }
}

@testable import BrokerHTTP
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@Suite struct `The gate in front of the decoder` {
    private static let request = "GET /verify HTTP/1.1\r\nHost: a\r\n\r\n"
    private static let other = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test func `answers requests that come together, in one write, and passes none of them on`() throws {
        let gate = try EmbeddedGate()
        try gate.receive(String(repeating: Self.request, count: 3).utf8)
        let first = try #require(try gate.channel.readOutbound(as: ByteBuffer.self))
        #expect(try gate.channel.readOutbound(as: ByteBuffer.self) == nil)
        let text = String(buffer: first)
        #expect(text.split(separator: "\r\n\r\n").count == 3)
        #expect(text.hasPrefix("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nCache-Control: no-store\r\n"))
        #expect(gate.passed.bytes.isEmpty)
        #expect(gate.passed.completed == 0)
    }

    @Test func `leaves the connection alone from the first request on that it does not answer`() throws {
        let gate = try EmbeddedGate()
        try gate.receive((Self.request + Self.other + Self.request).utf8)
        try gate.receive(Self.request.utf8)
        #expect(try gate.statuses() == ["401"])
        #expect(String(decoding: gate.passed.bytes, as: UTF8.self) == Self.other + Self.request + Self.request)
    }

    @Test func `keeps a head that comes in pieces, and passes it on in one where it does not conform`() throws {
        let gate = try EmbeddedGate()
        try gate.receive("GET /ver".utf8)
        try gate.receive("ify HTTP/1.1\r\nHo".utf8)
        #expect(gate.passed.bytes.isEmpty)
        try gate.receive("st: a\r\n\r\nGET /he".utf8)
        #expect(try gate.statuses() == ["401"])
        #expect(String(decoding: gate.passed.bytes, as: UTF8.self) == "GET /he")

        let second = try EmbeddedGate()
        try second.receive("GET /verify HTTP/1.1\r\nHost: a\r\n".utf8)
        try second.receive("Transfer-Encoding: chunked\r\n".utf8)
        #expect(
            String(decoding: second.passed.bytes, as: UTF8.self)
                == "GET /verify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n")
        #expect(try second.written().isEmpty)
    }

    @Test func `gives up a head that comes in too many pieces`() throws {
        let gate = try EmbeddedGate()
        let bytes = Array(Self.request.utf8)
        for byte in bytes.prefix(VerifyGate.maximumPieces) { try gate.receive([byte]) }
        #expect(gate.passed.bytes.isEmpty)
        try gate.receive([bytes[VerifyGate.maximumPieces]])
        #expect(gate.passed.bytes == Array(bytes[...VerifyGate.maximumPieces]))
    }

    /// Streams that are no more than the strict form at the beginning.
    private static let streams = [
        request + request + other + request,
        request + "POST /verify HTTP/1.1\r\nHost: a\r\nContent-Length: \(request.utf8.count)\r\n\r\n" + request
            + request,
        request + "POST /verify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n"
            + request,
        request + "GET /verify HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + request,
        "\r\n" + request, request + "\r\n" + request, request + "GET /verify HTTP/1.1\nHost: a\n\n" + request,
        request + request + "GET /verify HTTP/1.1\r\nHost: a\r\nx: y\r\n z\r\n\r\n",
    ]

    @Test(arguments: streams)
    func `answers some requests and passes on exactly the rest, wherever the stream is cut`(_ stream: String) throws {
        let bytes = Array(stream.utf8)
        for first in 0...bytes.count {
            for second in stride(from: first, through: bytes.count, by: 7) {
                let gate = try EmbeddedGate()
                for piece in [bytes[..<first], bytes[first..<second], bytes[second...]] where !piece.isEmpty {
                    try gate.receive(piece)
                }
                let answered = try gate.statuses().count
                // Each of those that it answers is the plain one.
                let rest = bytes[(answered * Self.request.utf8.count)...]
                #expect(stream.hasPrefix(String(repeating: Self.request, count: answered)))
                #expect(gate.passed.bytes.elementsEqual(rest), "cut at \(first) and \(second)")
            }
        }
    }

    @Test func `reads and answers no more while the peer takes nothing, and goes on when it does`() throws {
        let gate = try EmbeddedGate()
        let reads = Reads()
        try gate.channel.pipeline.syncOperations.addHandler(reads, position: .first)
        gate.channel.isWritable = false
        gate.channel.read()
        #expect(reads.count == 0)
        let count = 2000
        try gate.receive(String(repeating: Self.request, count: count).utf8)
        let before = try gate.statuses().count
        #expect((1..<count).contains(before))
        // About as much as is written at once.
        #expect(before * 150 < 2 * VerifyGate.batchLength)
        try gate.receive((Self.request + Self.other).utf8)
        #expect(try gate.written().isEmpty)
        gate.channel.isWritable = true
        gate.channel.pipeline.fireChannelWritabilityChanged()
        #expect(try gate.statuses().count == count + 1 - before)
        #expect(String(decoding: gate.passed.bytes, as: UTF8.self) == Self.other)
        #expect(gate.passed.completed == 1)
        #expect(reads.count == 1)
    }

    /// Counts what is asked of the socket.
    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var count = 0

        func read(context: ChannelHandlerContext) { count += 1 }
    }

    @Test func `what a peer left behind when it closed its side goes to the decoder before the end does`() throws {
        let gate = try EmbeddedGate()
        try gate.receive((Self.request + "GET /verify").utf8)
        gate.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(String(decoding: gate.passed.bytes, as: UTF8.self) == "GET /verify")
        #expect(gate.passed.completed == 1)
        #expect(gate.passed.events.count == 1)
    }

    @Test func `a shutdown leaves what waits to the decoder, where an answer can be said to be the last`() throws {
        let gate = try EmbeddedGate()
        gate.channel.isWritable = false
        try gate.receive(String(repeating: Self.request, count: 1000).utf8)
        gate.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        #expect(gate.passed.events.count == 1)
        #expect(gate.passed.bytes.isEmpty)
        let answered = try gate.statuses().count
        gate.channel.isWritable = true
        gate.channel.pipeline.fireChannelWritabilityChanged()
        #expect(try gate.statuses().isEmpty)
        #expect(answered > 0)
        let rest = String(repeating: Self.request, count: 1000 - answered)
        #expect(String(decoding: gate.passed.bytes, as: UTF8.self) == rest)
        #expect(gate.passed.completed == 1)
    }

    @Test func `what comes after a shutdown is the decoder's, with what had come of it before`() throws {
        let gate = try EmbeddedGate()
        try gate.receive((Self.request + "GET /ver").utf8)
        gate.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        try gate.receive(("ify HTTP/1.1\r\nHost: a\r\n\r\n").utf8)
        #expect(try gate.statuses() == ["401"])
        #expect(String(decoding: gate.passed.bytes, as: UTF8.self) == Self.request)
    }

    @Test func `the end of a peer's side is passed on behind the answers that it has not taken`() throws {
        let gate = try EmbeddedGate()
        let slow = Slow()
        try gate.channel.pipeline.syncOperations.addHandler(slow, position: .first)
        try gate.receive(String(repeating: Self.request, count: 3).utf8)
        gate.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(gate.passed.events.isEmpty)
        slow.take()
        #expect(gate.passed.events.count == 1)
    }

    /// Keeps what is written until it is taken.
    private final class Slow: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        private var kept: [EventLoopPromise<Void>?] = []

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            kept.append(promise)
        }

        func take() {
            for promise in kept { promise?.succeed() }
            kept = []
        }
    }

    @Test func `a shutdown reads nothing while no answers are taken, and waits two seconds for that`() throws {
        let gate = try EmbeddedGate()
        let reads = Reads()
        try gate.channel.pipeline.syncOperations.addHandler(reads, position: .first)
        gate.channel.isWritable = false
        try gate.receive(String(repeating: Self.request, count: 1000).utf8)
        gate.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        gate.channel.read()
        #expect(reads.count == 0)
        gate.loop.advanceTime(by: .milliseconds(1999))
        #expect(gate.channel.isActive)
        gate.loop.advanceTime(by: .milliseconds(1))
        #expect(!gate.channel.isActive)
    }

    @Test func `the times of the connection go by what the gate reads`() throws {
        let gate = try EmbeddedGate()
        gate.loop.advanceTime(by: .seconds(9))
        try gate.receive(Self.request.utf8)
        // The first head has come: what counts from here on is the time between requests.
        gate.loop.advanceTime(by: .seconds(59))
        #expect(gate.channel.isActive)
        try gate.receive(Self.request.utf8)
        gate.loop.advanceTime(by: .seconds(59))
        #expect(gate.channel.isActive)
        gate.loop.advanceTime(by: .seconds(1))
        #expect(!gate.channel.isActive)
        #expect(try gate.statuses().count == 2)
    }

    @Test func `a head that began in front of the decoder and does not end is answered by its limits`() throws {
        let gate = try EmbeddedGate()
        try gate.receive("GET /verify HT".utf8)
        gate.loop.advanceTime(by: .seconds(10))
        #expect(try gate.written() == "limits 408\n")
        // What still comes is not answered any more.
        try gate.receive("TP/1.1\r\nHost: a\r\n\r\n".utf8)
        #expect(try gate.written().isEmpty)
    }
}
